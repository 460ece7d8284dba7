//! Running commands in the sandbox. Each runs under a process of its own that talks to the command
//! line over the socket the daemon handed out, so nothing about it can disturb the shim's main loop,
//! and a restart of the daemon does not cut it.
//!
//! What a command leaves in the background goes on, in the sandbox's cgroup and process namespace,
//! as after `ssh` or `podman exec`; it ends with the sandbox. When the command line goes away before
//! the command has ended, everything the command started is killed.
//!
//! A command gets three pipes, or a terminal of the sandbox's own whose master goes to the command
//! line; nothing else of the host's ever reaches it.

mod command;
mod environment;
mod fallback;
pub mod filters;
mod passwd;
mod program;
mod pty;
mod request;
mod session;
mod terminfo;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use forage_api::config::Template;
use forage_api::{ErrorKind, Failure};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::admission::Admitted;
use crate::cgroup::Unit;
use crate::nspawn::leader::Leader;
use crate::sys::process::{Child, Fork, exit, fork};
use filters::Filters;

/// The most commands of one sandbox that run at a time.
pub const MAX_SESSIONS: usize = 256;

/// Where commands run.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The container's first process.
    leader: &'a Leader,
    /// What the command may call.
    filters: &'a Filters,
    /// Who the agent is and what it is given.
    template: &'a Template,
    /// The unit that holds it.
    unit: &'a Unit,
    /// The sandbox's owner.
    owner: u32,
    /// The sandbox's root, as the host numbers it.
    root: (u32, u32),
    /// The agent, as the host numbers it.
    agent: (u32, u32),
}

impl<'a> Target<'a> {
    /// A running sandbox.
    pub fn new(
        sandbox: &'a Admitted,
        leader: &'a Leader,
        filters: &'a Filters,
        unit: &'a Unit,
    ) -> Self {
        Self {
            leader,
            filters,
            template: &sandbox.template,
            unit,
            owner: sandbox.owner.uid,
            root: (sandbox.base(), sandbox.base()),
            agent: (sandbox.agent_uid(), sandbox.agent_gid()),
        }
    }
}

/// A command's own process of the shim's.
#[derive(Debug)]
pub struct Session {
    process: Child,
    number: u64,
}

impl Session {
    /// The number that names its cgroup.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Tells whether it has ended. One that was killed could not end what it had started, so this
    /// does.
    pub fn has_ended(&self, unit: &Unit) -> bool {
        match self.process.try_wait() {
            Ok(None) => false,
            Ok(Some(status)) => {
                if status.terminating_signal().is_some() {
                    unit.kill_exec(self.number);
                }
                true
            }
            Err(_) => true,
        }
    }
}

impl AsFd for Session {
    /// Readable when it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

/// Hands a conversation over to a process of its own. `number` names its cgroup.
///
/// # Errors
/// The descriptor is not a stream socket, or the system has no room.
pub fn start(target: Target<'_>, socket: OwnedFd, number: u64) -> Result<Session, Failure> {
    let wrong = || {
        Failure::new(
            ErrorKind::InvalidArgument,
            "the descriptor for exec is not a stream socket",
        )
    };
    let domain = sockopt::socket_domain(&socket).map_err(|_| wrong())?;
    let kind = sockopt::socket_type(&socket).map_err(|_| wrong())?;
    if domain != AddressFamily::UNIX || kind != SocketType::STREAM {
        return Err(wrong());
    }
    match fork().map_err(|error| no_room(&error))? {
        Fork::Child => exit(i32::from(session::run(target, &socket, number).is_err())),
        Fork::Parent(process) => Ok(Session { process, number }),
    }
}

fn no_room(error: &io::Error) -> Failure {
    Failure::new(
        ErrorKind::LimitReached,
        format!("no process can be started: {}", crate::fail::reason(error)),
    )
}
