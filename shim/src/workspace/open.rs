//! Opening a directory with a user's rights: a child becomes that user for good and hands the open
//! directory back. The path may hang (a file system of a user's), so the wait has an end.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use forage_api::shim::frame;
use forage_api::{ErrorKind, Failure};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::accounts::Account;
use crate::fail::reason;
use crate::sys::fds::close_all_but;
use crate::sys::privileges::become_user;
use crate::sys::process::{Fork, die_with_parent, exit, fork};
use crate::sys::time::{Deadline, poll_until};

/// How long a directory may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens a directory as a user.
///
/// # Errors
/// What the system told that user; `TimedOut`, `Interrupted` when `cancel` became readable.
pub(super) fn open_as(user: &Account, path: &Path, cancel: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    match fork()? {
        Fork::Child => exit(i32::from(
            open_and_send(user, path, theirs.as_fd()).is_err(),
        )),
        Fork::Parent(child) => {
            drop(theirs);
            let received = wait(ours.as_fd(), cancel);
            child.end();
            received
        }
    }
}

/// Runs in the child.
fn open_and_send(user: &Account, path: &Path, socket: BorrowedFd<'_>) -> io::Result<()> {
    close_all_but(&[socket])?;
    become_user(user.uid, user.gid, &user.groups)?;
    die_with_parent()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        Ok(directory) => frame::send(socket, &Ok::<(), i32>(()), &[], &[directory.as_fd()]),
        Err(error) => frame::send(socket, &Err::<(), i32>(error.raw_os_error()), &[], &[]),
    }
}

fn wait(socket: BorrowedFd<'_>, cancel: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let deadline = Deadline::after(PATIENCE);
    let mut decoder = frame::Decoder::default();
    loop {
        if let Some(mut frame) = decoder.next_frame()? {
            frame
                .message::<Result<(), i32>>()?
                .map_err(io::Error::from_raw_os_error)?;
            return frame
                .fds
                .pop()
                .ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
        let mut fds = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(cancel, PollFlags::IN),
        ];
        if poll_until(&mut fds, Some(deadline))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !fds[1].revents().is_empty() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if !decoder.receive(socket)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Says why a directory was not opened, and what helps.
pub(super) fn refusal(shown: &str, error: &io::Error) -> Failure {
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("it does not exist".to_owned(), "create the directory first"),
        io::ErrorKind::NotADirectory => (
            "it is not a directory".to_owned(),
            "name the directory that holds the repository",
        ),
        io::ErrorKind::PermissionDenied => (
            "the sandbox's owner may not enter it".to_owned(),
            "use a directory the owner can enter",
        ),
        io::ErrorKind::TimedOut => (
            format!("it did not open within {} seconds", PATIENCE.as_secs()),
            "its file system does not answer; use another",
        ),
        io::ErrorKind::Interrupted => ("the sandbox was stopped meanwhile".to_owned(), ""),
        _ if error.raw_os_error() == Some(libc::ELOOP) => (
            "its path goes through too many or unsafe links".to_owned(),
            "name the directory itself",
        ),
        _ => (reason(error), "name a directory of the owner's"),
    };
    Failure::new(
        ErrorKind::InvalidRepository,
        format!("cannot open {shown}: {why}"),
    )
    .hint(hint)
}
