//! One conversation about one command: a process between the command line and the command. It has
//! nothing of the shim's but what it needs, and ends with its shim.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use forage_api::shim::exec::{Ending, FromShim, ToShim};
use forage_api::shim::frame::{self, Decoder, Frame};
use forage_api::{ErrorKind, Failure};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, WaitIdStatus};
use rustix::thread::{CapabilitySet, ThreadNameSpaceType, move_into_thread_name_spaces};

use super::Target;
use super::command::{self, Report};
use super::request::{self, Streams, User, Wish};
use crate::cgroup::ExecGroup;
use crate::sys::fds::close_all_but;
use crate::sys::process::{Child, Fork, die_with_parent, exit, fork_into};
use crate::sys::signals;
use crate::sys::time::{Deadline, poll_one, poll_until};

/// How long the command line may take to say what it wants, and the command to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a command has after the command line went away.
const GRACE: Duration = Duration::from_secs(2);
/// How long a sandbox that is being shut down may take to end after it has ended a command.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Runs in the session's process, to its end.
pub(super) fn run(target: Target<'_>, socket: &OwnedFd, number: u64) -> io::Result<()> {
    close_all_but(&[socket.as_fd(), target.leader.as_fd()])?;
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
    let (wish, streams) = match request::start(frame, &target.template.agent_user) {
        Ok(start) => start,
        Err(failure) => return failed(&talk, failure),
    };
    if let Streams::Pipes(pipes) = &streams {
        let user = match wish.user {
            User::Agent => target.agent,
            User::Root => target.root,
        };
        if let Err(failure) = request::check_pipes(pipes, target.owner, user) {
            return failed(&talk, failure);
        }
    }
    let group = match target.unit.make_exec(number) {
        Ok(group) => group,
        Err(error) => return failed(&talk, internal("make a cgroup", error)),
    };
    let ended = match begin(target, &wish, streams, &group) {
        Ok((child, master)) => talk.see_through(&child, &group, target, master),
        Err(failure) => failed(&talk, failure),
    };
    group.remove_if_empty();
    ended
}

fn gone() -> Failure {
    Failure::new(ErrorKind::SandboxNotRunning, "the sandbox is stopping")
        .hint("start it again: forage-ctl start")
}

/// Starts the command and waits until it has been executed. Gives the master of its terminal, too.
fn begin(
    target: Target<'_>,
    wish: &Wish,
    streams: Streams,
    group: &ExecGroup,
) -> Result<(Child, Option<OwnedFd>), Failure> {
    let capabilities = match wish.user {
        User::Agent => CapabilitySet::empty(),
        User::Root => target.leader.bounding_set().map_err(|_| gone())?,
    };
    // It takes effect for children only: the command is born in the sandbox's process namespace.
    move_into_thread_name_spaces(target.leader.as_fd(), ThreadNameSpaceType::PROCESS_ID)
        .map_err(|_| gone())?;
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| internal("make a socket", error.into()))?;
    match fork_into(group.directory.as_fd()) {
        Ok(Fork::Child) => {
            let failure =
                command::become_command(target, wish, &streams, capabilities, theirs.as_fd());
            frame::send(theirs.as_fd(), &Report::Failed(failure), &[], &[]).ok();
            exit(127)
        }
        // The namespace's first process is gone.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Err(gone()),
        Err(error) => Err(internal("start a process", error)),
        Ok(Fork::Parent(child)) => {
            let terminal = matches!(streams, Streams::Terminal(_));
            drop((streams, theirs));
            match executed(ours.as_fd()) {
                Ok(master) if master.is_some() == terminal => Ok((child, master)),
                Ok(_) => {
                    child.end();
                    Err(not_started("it has no terminal"))
                }
                Err(failure) => {
                    child.end();
                    Err(failure)
                }
            }
        }
    }
}

fn not_started(why: &str) -> Failure {
    Failure::new(
        ErrorKind::Internal,
        format!("the command did not start: {why}"),
    )
}

/// Waits until the child's end of the socket closes: by executing, or after saying why not.
fn executed(report: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Failure> {
    let no_reason = |_| not_started("it gave no reason");
    let deadline = Deadline::after(PATIENCE);
    let mut decoder = Decoder::default();
    let mut master = None;
    loop {
        while let Some(mut frame) = decoder.next_frame().map_err(no_reason)? {
            match frame.message().map_err(no_reason)? {
                Report::Terminal => master = frame.fds.pop(),
                Report::Failed(failure) => return Err(failure),
            }
        }
        if !matches!(poll_one(report, PollFlags::IN, deadline), Ok(true)) {
            return Err(not_started("the sandbox did not answer in time"));
        }
        if !decoder.receive(report).map_err(no_reason)? {
            return Ok(master);
        }
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
    fn see_through(
        &mut self,
        child: &Child,
        group: &ExecGroup,
        target: Target<'_>,
        master: Option<OwnedFd>,
    ) -> io::Result<()> {
        let terminal = master.is_some();
        let passed = master.as_ref().map(OwnedFd::as_fd);
        let started = frame::send(self.socket, &FromShim::Started, &[], passed.as_slice());
        // When the command line goes away the terminal hangs up: nobody else has its master.
        drop(master);
        match started.and_then(|()| self.accompany(child)) {
            // The other side takes silence for what it is.
            Ok(Some(ending)) if went_away(target, ending, terminal) => Ok(()),
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
                // It may have ended because its terminal or its input did, with the command line.
                return Ok((!self.hung_up()?).then(|| ending(&status)));
            }
            if !fds[1].revents().is_empty() && !self.pass_on(child)? {
                return Ok(None);
            }
        }
    }

    /// Tells whether the other side is gone. When it goes, the kernel closes its socket before the
    /// terminal or the pipes of the command, which were made later.
    fn hung_up(&self) -> io::Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.socket, PollFlags::empty())];
        poll_until(&mut fds, Some(Deadline::after(Duration::ZERO)))?;
        Ok(fds[0].revents().contains(PollFlags::HUP))
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
    let deadline = Deadline::after(GRACE);
    child.signal(Signal::HUP)?;
    // A stopped process takes a signal only when it goes on.
    child.signal(Signal::CONT)?;
    poll_one(child.as_fd(), PollFlags::IN, deadline)?;
    // It may have been waited for.
    child.try_wait().ok();
    // A shell has passed the signal on; an editor, say, now saves what it has.
    group.wait_until_empty(deadline).ok();
    group.kill().ok();
    child.end();
    Ok(())
}

/// Tells whether a command was ended because its sandbox is: the kernel kills what is inside when
/// its first process ends, and systemd there hangs terminals up before.
fn went_away(target: Target<'_>, ending: Ending, terminal: bool) -> bool {
    let Ending::Signalled(signal) = ending else {
        return false;
    };
    let asked = [Signal::HUP, Signal::TERM, Signal::KILL].map(Signal::as_raw);
    if !asked.contains(&signal) {
        return false;
    }
    target.leader.is_ending() || terminal && target.leader.ends_until(Deadline::after(SHUTDOWN))
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
