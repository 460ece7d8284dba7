//! What a forked child does to the descriptors it inherited.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Closes every descriptor but the first three and the given ones. Only for a forked child that
/// ends in `exec` or [`exit`](super::process::exit): objects that owned the others are left
/// dangling.
///
/// # Errors
/// What `close_range` says.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok())
        .filter(|&fd| fd > 2)
        .collect();
    keep.sort_unstable();
    keep.dedup();
    let mut first = 3;
    for fd in keep {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

#[expect(unsafe_code, reason = "close_range has no safe form")]
fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the callers are forked children that never touch the owners of these descriptors
    // again: they leave by `exec` or `_exit`, which drop nothing.
    let result = unsafe { libc::close_range(first, last, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts `/dev/null` in the place of standard input.
///
/// # Errors
/// What the system says.
pub fn null_stdin() -> io::Result<()> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    Ok(dup2_stdin(&null)?)
}

/// Makes three descriptors standard input, output and error.
///
/// # Errors
/// What `dup2` says.
pub fn set_stdio(fds: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    dup2_stdin(fds[0])?;
    dup2_stdout(fds[1])?;
    dup2_stderr(fds[2])?;
    Ok(())
}
