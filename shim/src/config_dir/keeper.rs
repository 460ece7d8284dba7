//! The shim's side of the process that has the owner's rights.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use forage_api::Failure;
use forage_api::config::ConfigDir;
use forage_api::ident::quoted;
use forage_api::shim::frame;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::child::{self, Plan};
use super::words::{Named, Said};
use crate::admission::Admitted;
use crate::sys::mount::Detached;
use crate::sys::process::{Child, Fork, exit, fork};
use crate::sys::time::{Deadline, poll_one, poll_until};

/// How long it may take to look at a directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// A configuration directory that is being copied, or was. Its process goes when this does.
#[expect(missing_debug_implementations, reason = "a decoder has none")]
pub struct Keeper {
    named: Named,
    /// Whether it follows the owner's directory.
    pub read_only: bool,
    /// Whether it was copied.
    copied: bool,
    process: Option<(Child, OwnedFd, frame::Decoder)>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper {
    /// Begins to look at a directory. The path is one of the host.
    ///
    /// # Errors
    /// No process can be made.
    pub fn begin(
        sandbox: &Admitted,
        directory: &ConfigDir,
        from_home: bool,
    ) -> Result<Self, Failure> {
        // What does not fit the root is refused now instead of when the root is full.
        let (most, root) = (directory.max_size, sandbox.template.root_size);
        // What does not fit the root is refused now instead of when the root is full.
        let (most, key) = if most <= root {
            (most.bytes(), "hostConfigDirMaxSize")
        } else {
            (root.bytes(), "rootSize")
        };
        let named = Named {
            path: quoted(&directory.source.to_string_lossy()),
            agent: directory.agent.to_string(),
            most,
            key,
        };
        let plan = Plan {
            owner: &sandbox.owner,
            path: directory.source.clone(),
            from_home,
            most,
            follow: directory.read_only,
        };
        let process = start(&plan).map_err(|error| named.broken(&error))?;
        Ok(Self {
            named,
            read_only: directory.read_only,
            copied: false,
            process: Some(process),
        })
    }

    /// Waits until it was looked at. Gives a line for the log where there is no such directory.
    ///
    /// # Errors
    /// It cannot be used, or is too large. Nothing was changed then.
    pub fn ready(&mut self, cancel: BorrowedFd<'_>) -> Result<Option<String>, Failure> {
        match self.hear(Deadline::after(PATIENCE), cancel)? {
            Said::Ready => Ok(None),
            Said::Missing => {
                self.end();
                Ok(Some(self.named.missing()))
            }
            other => Err(self.named.refusal(&other)),
        }
    }

    /// Has it copied to a directory.
    ///
    /// # Errors
    /// Its process is gone.
    pub fn begin_copy(&mut self, to: &Detached) -> Result<(), Failure> {
        let Some((_, socket, _)) = &self.process else {
            return Ok(());
        };
        frame::send(socket.as_fd(), &(), &[], &[to.as_fd()])
            .map_err(|error| self.named.broken(&error))
    }

    /// Waits until it was copied, and gives a line for the log. From here on a copy that cannot be
    /// written follows what changes.
    ///
    /// # Errors
    /// It could not be copied in time, or changed into what cannot be.
    pub fn end_copy(
        &mut self,
        deadline: Deadline,
        cancel: BorrowedFd<'_>,
    ) -> Result<Option<String>, Failure> {
        if self.process.is_none() {
            return Ok(None);
        }
        let said = self.hear(deadline, cancel)?;
        let Said::Copied(copied) = said else {
            return Err(self.named.refusal(&said));
        };
        self.copied = true;
        if !self.read_only {
            self.end();
        }
        Ok(Some(self.named.copied(&copied, self.read_only)))
    }

    /// What is readable when there is something to hear; a copy that is not followed says nothing.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        let process = self.process.as_ref().filter(|_| self.copied)?;
        Some(process.1.as_fd())
    }

    /// Hears what cannot be followed: lines for the log.
    pub fn changes(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some((_, socket, decoder)) = &mut self.process else {
            return lines;
        };
        let now = Deadline::after(Duration::ZERO);
        if !self.copied || !poll_one(socket.as_fd(), PollFlags::IN, now).unwrap_or(false) {
            return lines;
        }
        let more = decoder.receive(socket.as_fd());
        while let Ok(Some(frame)) = decoder.next_frame() {
            if let Ok(Said::Stopped(stop)) = frame.message() {
                let failure = self.named.stopped(&stop);
                lines.push(format!("not up to date: {failure}"));
            }
        }
        if !matches!(more, Ok(true)) {
            self.end();
            lines.push(self.named.unfollowed());
        }
        lines
    }

    fn hear(&mut self, deadline: Deadline, cancel: BorrowedFd<'_>) -> Result<Said, Failure> {
        let patience = deadline.left();
        let Some((_, socket, decoder)) = &mut self.process else {
            return Ok(Said::Missing);
        };
        let heard = wait(socket.as_fd(), decoder, deadline, cancel);
        match heard {
            Ok(Some(said)) => Ok(said),
            Ok(None) => Err(self.named.too_slow(patience)),
            Err(error) => Err(self.named.broken(&error)),
        }
    }

    fn end(&mut self) {
        if let Some((child, ..)) = self.process.take() {
            child.end();
        }
    }
}

fn start(plan: &Plan<'_>) -> io::Result<(Child, OwnedFd, frame::Decoder)> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    match fork()? {
        Fork::Child => exit(i32::from(child::run(plan, theirs.as_fd()).is_err())),
        Fork::Parent(child) => Ok((child, ours, frame::Decoder::default())),
    }
}

/// Waits for a word; `None`: it did not come in time.
fn wait(
    socket: BorrowedFd<'_>,
    decoder: &mut frame::Decoder,
    deadline: Deadline,
    cancel: BorrowedFd<'_>,
) -> io::Result<Option<Said>> {
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return frame.message().map(Some);
        }
        let mut fds = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(cancel, PollFlags::IN),
        ];
        if poll_until(&mut fds, Some(deadline))? == 0 {
            return Ok(None);
        }
        if !fds[1].revents().is_empty() {
            return Err(io::Error::other("the sandbox was stopped meanwhile"));
        }
        if !decoder.receive(socket)? {
            return Err(io::Error::other("the process that reads it ended"));
        }
    }
}
