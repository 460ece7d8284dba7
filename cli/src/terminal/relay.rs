//! Carries bytes between the user's terminal and the sandbox's. Each way is a thread of its own, so
//! that a terminal that takes nothing holds up neither the other way nor signals.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::io::Errno;

use super::escape::Escape;
use crate::exec::poll_again;

const CHUNK: usize = 64 * 1024;
/// How much of what is typed or pasted is kept for a sandbox that does not read.
const PENDING: usize = 1024 * 1024;
/// After the command has ended: how long its output may pause before nothing more is expected …
const QUIET: Duration = Duration::from_millis(50);
/// … and how long it may go on in all.
const LATE: Duration = Duration::from_secs(1);

/// Something one thread tells others once.
#[derive(Debug, Clone)]
pub(super) struct Flag(Arc<OwnedFd>);

impl Flag {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Raises it. It stays up.
    pub(super) fn raise(&self) {
        let _cannot_fail = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub(super) fn poll(&self) -> PollFd<'_> {
        PollFd::new(&self.0, PollFlags::IN)
    }
}

/// Both ways between two terminals.
#[derive(Debug)]
pub(super) struct Relay {
    /// The user has pressed the keys that end a session.
    pub(super) escaped: Flag,
    /// The user's terminal gives nothing any more.
    pub(super) hung_up: Flag,
    /// Nobody reads our output any more.
    pub(super) unread: Flag,
    /// Everything the command wrote has been shown, or cannot be.
    pub(super) shown: Flag,
    /// The command has ended.
    ended: Flag,
}

impl Relay {
    /// Begins to carry. `master` is the sandbox's terminal, and nobody else has this end of it.
    pub(super) fn begin(
        input: Arc<OwnedFd>,
        output: OwnedFd,
        master: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let relay = Self {
            escaped: Flag::new()?,
            hung_up: Flag::new()?,
            unread: Flag::new()?,
            shown: Flag::new()?,
            ended: Flag::new()?,
        };
        let (escaped, hung_up) = (relay.escaped.clone(), relay.hung_up.clone());
        let (shown, unread) = (relay.shown.clone(), relay.unread.clone());
        let ended = relay.ended.clone();
        let typed = Arc::clone(&master);
        thread::Builder::new().spawn(move || match type_in(&input, &typed) {
            Typed::Escaped => escaped.raise(),
            Typed::HungUp => hung_up.raise(),
        })?;
        thread::Builder::new().spawn(move || {
            if show(&master, &output, &ended).is_err() {
                unread.raise();
            }
            shown.raise();
        })?;
        Ok(relay)
    }

    /// Says that the command has ended: what it wrote is still shown.
    pub(super) fn end(&self) {
        self.ended.raise();
    }
}

/// Why typing ended.
enum Typed {
    Escaped,
    HungUp,
}

/// Passes on what is typed. The user's terminal is read also while the sandbox's takes nothing, or
/// the keys that end a session would be stuck, too.
fn type_in(input: &OwnedFd, master: &OwnedFd) -> Typed {
    let mut escape = Escape::default();
    let mut pending: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let wanted = |is: bool, events| if is { events } else { PollFlags::empty() };
        let mut fds = [
            PollFd::new(input, wanted(pending.len() < PENDING, PollFlags::IN)),
            PollFd::new(master, PollFlags::OUT),
        ];
        // Nothing to write: a terminal nobody has open inside would always have something to say.
        let watched = if pending.is_empty() { 1 } else { 2 };
        if poll_again(&mut fds[..watched], None).is_err() {
            return Typed::HungUp;
        }
        let (typed, ready) = (!fds[0].revents().is_empty(), fds[1].revents());
        if watched == 2 && !ready.is_empty() {
            write_some(master, &mut pending, !ready.contains(PollFlags::OUT));
        }
        if !typed {
            continue;
        }
        match rustix::io::read(input, &mut chunk) {
            Ok(0) => return Typed::HungUp,
            Ok(length) => {
                if escape.typed(&chunk[..length], Instant::now()) {
                    return Typed::Escaped;
                }
                pending.extend_from_slice(&chunk[..length]);
                // The usual case needs no second look at who is ready.
                write_some(master, &mut pending, false);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Typed::HungUp,
        }
    }
}

/// Writes what fits. Where nobody reads inside any more the rest is nobody's.
fn write_some(master: &OwnedFd, pending: &mut Vec<u8>, closed: bool) {
    match rustix::io::write(master, pending) {
        Ok(written) => drop(pending.drain(..written)),
        Err(Errno::AGAIN | Errno::INTR) if !closed => {}
        Err(_) => pending.clear(),
    }
}

/// Shows what the command writes, to its end. An error is one of showing it.
fn show(master: &OwnedFd, output: &OwnedFd, ended: &Flag) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut until: Option<Instant> = None;
    loop {
        let patience = match until {
            None => None,
            Some(until) => match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return Ok(()),
                left => Some(left.min(QUIET)),
            },
        };
        let mut fds = [PollFd::new(master, PollFlags::IN), ended.poll()];
        let watched = if until.is_some() { 1 } else { 2 };
        match poll_again(&mut fds[..watched], patience) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        if watched == 2 && !fds[1].revents().is_empty() {
            until = Some(Instant::now() + LATE);
        }
        if fds[0].revents().is_empty() {
            continue;
        }
        match rustix::io::read(master, &mut chunk) {
            // The kernel's word for the end of a terminal.
            Ok(0) | Err(Errno::IO) => return Ok(()),
            Ok(length) => write_all(output, &chunk[..length])?,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Ok(()),
        }
    }
}

/// Writes everything, also where somebody has made the descriptor non-blocking.
fn write_all(output: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(output, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll_again(&mut [PollFd::new(output, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes what fits at once and gives up the rest.
pub(super) fn write_now(output: &OwnedFd, bytes: &[u8]) {
    let mut fds = [PollFd::new(output, PollFlags::OUT)];
    if matches!(poll_again(&mut fds, Some(Duration::ZERO)), Ok(1)) {
        let _gone = rustix::io::write(output, bytes);
    }
}
