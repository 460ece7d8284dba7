//! A terminal for a command: a pseudoterminal of the sandbox's own, opened with no more rights than
//! the command will have. The sandbox's root decides what lies at the path, so what was opened is
//! judged before it is used.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use forage_api::shim::exec::Terminal;
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, major, minor, open};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::sys::fds;
use crate::sys::files::{DEVPTS, file_system};

/// Not `/dev/ptmx`: that is a link, and this must not follow one.
const MULTIPLEXER: &str = "/dev/pts/ptmx";
/// The device the kernel has under that name.
const DEVICE: (u32, u32) = (5, 2);

/// Makes a terminal, has this process, the leader of a new session, controlled by it, and gives the
/// master.
pub(super) fn take(like: &Terminal) -> io::Result<OwnedFd> {
    // Whatever lies there, opening it does not wait.
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let master = open(MULTIPLEXER, flags, Mode::empty())?;
    if !is_multiplexer(master.as_fd())? {
        return Err(io::Error::other(format!("{MULTIPLEXER} is something else")));
    }
    fcntl_setfl(&master, OFlags::empty())?;
    unlockpt(&master)?;
    let size = Winsize {
        ws_row: like.rows,
        ws_col: like.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size)?;
    // By the master, never by a path.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    ioctl_tiocsctty(&slave)?;
    fds::set_stdio([slave.as_fd(); 3])?;
    Ok(master)
}

fn is_multiplexer(file: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = fstat(file)?;
    Ok(
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == DEVICE
            && file_system(file)? == DEVPTS,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_multiplexer_of_a_devpts() {
        let is = |path: &str| {
            let file = std::fs::File::options().read(true).open(path).unwrap();
            is_multiplexer(file.as_fd()).unwrap()
        };
        assert!(is("/dev/pts/ptmx"));
        assert!(!is("/dev/null"));
        assert!(!is("/proc/self/status"));
    }
}
