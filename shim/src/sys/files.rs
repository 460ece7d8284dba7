//! Open files: what they lie on, and a way to change the mode of one that cannot be read.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::fstatfs;

/// Anonymous pipes.
pub const PIPEFS: u32 = 0x5049_5045;
/// Memory.
pub const TMPFS: u32 = 0x0102_1994;

/// The type of the file system an open file lies on, as `statfs` numbers it.
///
/// # Errors
/// What `fstatfs` says.
pub fn file_system(file: BorrowedFd<'_>) -> io::Result<u32> {
    // The types are 32 bits wide; the field is as wide as the machine, and may be signed.
    Ok((fstatfs(file)?.f_type & 0xffff_ffff) as u32)
}

/// Changes the mode of a file that is open only as a place (`O_PATH`), without looking anything up.
///
/// # Errors
/// What `fchmodat2` says; `ENOSYS` before Linux 6.6.
#[expect(unsafe_code, reason = "fchmodat2 has no safe form")]
pub fn change_mode(place: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: the path is an empty string that ends in zero; nothing else is read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            place.as_raw_fd(),
            c"".as_ptr(),
            mode,
            libc::AT_EMPTY_PATH,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
