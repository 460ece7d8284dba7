//! Opening a directory with a user's rights: a child becomes that user for good and hands the open
//! directory back. The path may hang (a file system of a user's), so the wait has an end.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use forage_api::shim::frame;
use forage_api::{ErrorKind, Failure};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::accounts::Account;
use crate::fail::reason;
use crate::sys::fds::close_all_but;
use crate::sys::privileges::become_user;
use crate::sys::process::{Fork, die_with_parent, exit, fork};
use crate::sys::time::{Deadline, poll_until};
use crate::walk::{Lost, walk};

/// How long a directory may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a path was not opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// It leads nowhere for that user.
    Lost(Lost),
    /// It did not open in time.
    TooSlow,
    /// `cancel` became readable.
    Cancelled,
    /// It could not be tried.
    Broken(io::Error),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Opens what a path means to a user, as a place.
///
/// # Errors
/// That user cannot get there.
pub(super) fn open_as(
    user: &Account,
    path: &Path,
    cancel: BorrowedFd<'_>,
) -> Result<OwnedFd, Unopened> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(io::Error::from)?;
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
    match walk(path, &mut |_, _| Ok(())).end {
        Ok(directory) => frame::send(socket, &Ok::<(), Lost>(()), &[], &[directory.as_fd()]),
        Err(lost) => frame::send(socket, &Err::<(), Lost>(lost), &[], &[]),
    }
}

fn wait(socket: BorrowedFd<'_>, cancel: BorrowedFd<'_>) -> Result<OwnedFd, Unopened> {
    let deadline = Deadline::after(PATIENCE);
    let mut decoder = frame::Decoder::default();
    loop {
        if let Some(mut frame) = decoder.next_frame()? {
            let found: Result<(), Lost> = frame.message()?;
            found.map_err(Unopened::Lost)?;
            let place = frame.fds.pop();
            return place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData).into());
        }
        let mut fds = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(cancel, PollFlags::IN),
        ];
        if poll_until(&mut fds, Some(deadline))? == 0 {
            return Err(Unopened::TooSlow);
        }
        if !fds[1].revents().is_empty() {
            return Err(Unopened::Cancelled);
        }
        if !decoder.receive(socket)? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Says why a directory was not opened, and what helps.
pub(super) fn refusal(shown: &str, unopened: &Unopened) -> Failure {
    let seconds = PATIENCE.as_secs();
    let system = |number| reason(&io::Error::from_raw_os_error(number));
    let (why, hint) = match unopened {
        Unopened::TooSlow => (
            format!("it did not open within {seconds} seconds"),
            "its file system does not answer; use another",
        ),
        Unopened::Cancelled => ("the sandbox was stopped meanwhile".to_owned(), ""),
        Unopened::Broken(error) => (reason(error), ""),
        Unopened::Lost(lost) => match lost {
            Lost::Missing => ("it does not exist".to_owned(), "create the directory first"),
            Lost::NotADirectory => (
                "a part of its path is not a directory".to_owned(),
                "name the directory that holds the repository",
            ),
            Lost::TooManyLinks => (
                "its path goes through too many links".to_owned(),
                "name the directory itself",
            ),
            Lost::Fuse => (
                "it lies on a file system that a program provides (FUSE)".to_owned(),
                "use a directory on a disk of the host",
            ),
            Lost::System(libc::EACCES) => (
                "the sandbox's owner may not enter it".to_owned(),
                "use a directory the owner can enter",
            ),
            Lost::System(number) => (system(*number), "name a directory of the owner's"),
            Lost::Refused(why) => (why.clone(), "name a directory of the owner's"),
        },
    };
    Failure::new(
        ErrorKind::InvalidRepository,
        format!("cannot open {shown}: {why}"),
    )
    .hint(hint)
}
