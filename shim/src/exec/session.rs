//! One conversation about one command: a process between the command line and the command. It has
//! nothing of the shim's but what it needs, and ends with its shim.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use forage_api::shim::exec::{Ending, FromShim, ToShim};
use forage_api::shim::frame::{self, Decoder, Frame};
use forage_api::{ErrorKind, Failure};
use rustix::event::{PollFd, PollFlags};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitIdStatus};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::request::{self, Wish};
use super::{Target, command};
use crate::cgroup::ExecGroup;
use crate::sys::fds::close_all_but;
use crate::sys::process::{Child, Fork, die_with_parent, exit, fork_into};
use crate::sys::signals;
use crate::sys::time::{Deadline, poll_one, poll_until};

/// How long the command line may take to say what it wants, and the command to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a command has after the command line went away.
const GRACE: Duration = Duration::from_secs(2);

/// Runs in the session's process, to its end.
pub(super) fn run(target: Target<'_>, socket: &OwnedFd, number: u64) -> io::Result<()> {
    close_all_but(&[socket.as_fd(), target.leader])?;
    signals::restore_defaults()?;
    die_with_parent()?;
    let mut talk = Talk {
        socket: socket.as_fd(),
        decoder: Decoder::default(),
    };
    let Some(frame) = talk.receive_until(Deadline::after(PATIENCE))? else {
        return Ok(());
    };
    let failed = |talk: &Talk<'_>, failure| talk.send(&FromShim::Failed(failure));
    let (wish, pipes) = match request::start(frame) {
        Ok(start) => start,
        Err(failure) => return failed(&talk, failure),
    };
    if let Err(failure) = request::check_pipes(&pipes, target.owner, target.agent) {
        return failed(&talk, failure);
    }
    let group = match target.unit.make_exec(number) {
        Ok(group) => group,
        Err(error) => return failed(&talk, internal("make a cgroup", error)),
    };
    let ended = match begin(target, &wish, pipes, &group) {
        Ok(child) => talk.see_through(&child, &group),
        Err(failure) => failed(&talk, failure),
    };
    group.remove_if_empty();
    ended
}

/// Starts the command and waits until it has been executed.
fn begin(
    target: Target<'_>,
    wish: &Wish,
    pipes: [OwnedFd; 3],
    group: &ExecGroup,
) -> Result<Child, Failure> {
    let gone = |_| {
        Failure::new(ErrorKind::SandboxNotRunning, "the sandbox is stopping")
            .hint("start it again: forage-ctl start")
    };
    // It takes effect for children only: the command is born in the sandbox's process namespace.
    move_into_thread_name_spaces(target.leader, ThreadNameSpaceType::PROCESS_ID).map_err(gone)?;
    let (read, write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| internal("make a pipe", e.into()))?;
    match fork_into(group.directory.as_fd()) {
        Ok(Fork::Child) => {
            let failure = command::become_command(target, wish, &pipes, write.as_fd());
            let bytes = serde_json::to_vec(&failure).unwrap_or_default();
            std::fs::File::from(write).write_all(&bytes).ok();
            exit(127)
        }
        // The namespace's first process is gone.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
            Err(gone(rustix::io::Errno::SRCH))
        }
        Err(error) => Err(internal("start a process", error)),
        Ok(Fork::Parent(child)) => {
            drop((pipes, write));
            executed(&child, read).map(|()| child)
        }
    }
}

/// Waits until the child's end of the pipe closes: by executing, or after saying why not.
fn executed(child: &Child, report: OwnedFd) -> Result<(), Failure> {
    let stuck = |what: &str| {
        child.end();
        Failure::new(
            ErrorKind::Internal,
            format!("the command did not start: {what}"),
        )
    };
    let deadline = Deadline::after(PATIENCE);
    match poll_one(report.as_fd(), PollFlags::IN, deadline) {
        Ok(true) => {}
        _ => return Err(stuck("the sandbox did not answer in time")),
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::from(report)
        .take(16 * 1024)
        .read_to_end(&mut bytes);
    match read {
        Ok(0) => Ok(()),
        Ok(_) => {
            child.end();
            Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| stuck("it gave no reason")))
        }
        Err(_) => Err(stuck("it gave no reason")),
    }
}

/// The conversation.
struct Talk<'a> {
    socket: BorrowedFd<'a>,
    decoder: Decoder,
}

impl Talk<'_> {
    fn send(&self, message: &FromShim) -> io::Result<()> {
        frame::send(self.socket, message, &[], &[])
    }

    /// Receives one frame; `None` when the other side is gone, too slow, or makes no sense.
    fn receive_until(&mut self, deadline: Deadline) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            let arrived = poll_one(self.socket, PollFlags::IN, deadline)?;
            if !arrived || !self.decoder.receive(self.socket)? {
                return Ok(None);
            }
        }
    }

    /// Goes with a command that has been started, to its end or the command line's.
    fn see_through(&mut self, child: &Child, group: &ExecGroup) -> io::Result<()> {
        let ending = self
            .send(&FromShim::Started)
            .and_then(|()| self.accompany(child));
        match ending {
            Ok(Some(ending)) => self.send(&FromShim::Ended(ending)),
            Ok(None) | Err(_) => abandon(child, group),
        }
    }

    /// Passes signals on until the command ends. `None`: the command line went away first.
    fn accompany(&mut self, child: &Child) -> io::Result<Option<Ending>> {
        loop {
            let mut fds = [
                PollFd::new(child, PollFlags::IN),
                PollFd::from_borrowed_fd(self.socket, PollFlags::IN),
            ];
            poll_until(&mut fds, None)?;
            if let Some(status) = child.try_wait()? {
                return Ok(Some(ending(&status)));
            }
            if !fds[1].revents().is_empty() && !self.pass_on(child)? {
                return Ok(None);
            }
        }
    }

    /// Handles what has arrived. `Ok(false)`: the other side is gone or makes no sense.
    fn pass_on(&mut self, child: &Child) -> io::Result<bool> {
        if !matches!(self.decoder.receive(self.socket), Ok(true)) {
            return Ok(false);
        }
        loop {
            let Ok(next) = self.decoder.next_frame() else {
                return Ok(false);
            };
            let Some(frame) = next else {
                return Ok(true);
            };
            let Ok(ToShim::Signal(number)) = frame.message() else {
                return Ok(false);
            };
            match signals::numbered(number) {
                Some(signal) => child.signal(signal)?,
                None => return Ok(false),
            }
        }
    }
}

/// Ends the command and everything it started, kindly at first.
fn abandon(child: &Child, group: &ExecGroup) -> io::Result<()> {
    child.signal(Signal::HUP)?;
    // A stopped process takes a signal only when it goes on.
    child.signal(Signal::CONT)?;
    poll_one(child.as_fd(), PollFlags::IN, Deadline::after(GRACE))?;
    group.kill().ok();
    child.end();
    Ok(())
}

fn ending(status: &WaitIdStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Ending::Signalled(signal),
        (None, None) => Ending::Signalled(Signal::KILL.as_raw()),
    }
}

fn internal(what: &str, error: io::Error) -> Failure {
    crate::fail::cannot(
        ErrorKind::Internal,
        format_args!("{what} for the command"),
        error,
    )
}
