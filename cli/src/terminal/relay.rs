//! Carries bytes between the user's terminal and the sandbox's: one thread for both ways, apart from
//! the one that hears signals and the shim, so that a terminal that takes nothing does not hold up
//! those. A thread for each way would have every key wake one on another processor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::io::Errno;

use super::escape::Escape;
use crate::exec::poll_again;

/// As much as a pipe that is ready takes without waiting, and a terminal gives at a time.
const CHUNK: usize = 4096;
/// How much of what is typed or pasted is kept for a sandbox that does not read.
const PENDING: usize = 1024 * 1024;
/// After the command has ended: how long its output may pause before nothing more is expected …
const QUIET: Duration = Duration::from_millis(50);
/// … and how long it may go on in all, the waits for the user's terminal not counted …
const LATE: Duration = Duration::from_secs(1);
/// … until it has shown as much as a terminal holds: what the command wrote is among that.
const HELD: usize = 128 * 1024;
/// How long to leave a terminal alone that nothing inside has open just now.
const CLOSED: Duration = Duration::from_millis(100);

/// Something one thread tells another once.
#[derive(Debug, Clone)]
pub(super) struct Flag(Arc<OwnedFd>);

impl Flag {
    fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Raises it. It stays up.
    fn raise(&self) {
        let _cannot_fail = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub(super) fn poll(&self) -> PollFd<'_> {
        PollFd::new(&self.0, PollFlags::IN)
    }
}

/// Why nothing is carried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything the command wrote has been shown.
    Shown,
    /// The user has pressed the keys that end a session.
    Escaped,
    /// The user's terminal gives nothing any more.
    HungUp,
    /// Nobody reads our output any more.
    Unread,
}

/// Both ways between two terminals.
#[derive(Debug)]
pub(super) struct Relay {
    /// Nothing is carried any more.
    pub(super) done: Flag,
    /// The command has ended.
    ended: Flag,
    /// Nothing is carried just now.
    held: Arc<AtomicBool>,
    thread: JoinHandle<End>,
}

impl Relay {
    /// Begins to carry. `master` is the sandbox's terminal, and nobody else has this end of it.
    pub(super) fn begin(
        input: Arc<OwnedFd>,
        output: OwnedFd,
        master: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let (done, ended) = (Flag::new()?, Flag::new()?);
        let held = Arc::new(AtomicBool::new(false));
        let carrier = Carrier {
            input,
            output,
            master,
            ended: ended.clone(),
            held: Arc::clone(&held),
            escape: Escape::default(),
            typed: Vec::new(),
            shown: Vec::new(),
            until: None,
            owed: HELD,
            closed: None,
        };
        let finished = done.clone();
        let thread = thread::Builder::new().spawn(move || {
            let end = carrier.run();
            finished.raise();
            end
        })?;
        Ok(Self {
            done,
            ended,
            held,
            thread,
        })
    }

    /// Keeps what is typed and shown from now on until [`Relay::release`]. Does not wait.
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Carries on.
    pub(super) fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.thread.thread().unpark();
    }

    /// Says that the command has ended: what it wrote is still shown.
    pub(super) fn end(&self) {
        self.ended.raise();
    }

    /// Why nothing is carried any more, once it is done.
    pub(super) fn why(self) -> Option<End> {
        self.thread.join().ok()
    }
}

struct Carrier {
    input: Arc<OwnedFd>,
    output: OwnedFd,
    master: Arc<OwnedFd>,
    ended: Flag,
    held: Arc<AtomicBool>,
    escape: Escape,
    /// Typed, and not taken by the sandbox yet.
    typed: Vec<u8>,
    /// Written by the command, and not taken by the user's terminal yet.
    shown: Vec<u8>,
    /// The command has ended: when nothing more is waited for.
    until: Option<Instant>,
    /// How much of what comes then may still be the command's.
    owed: usize,
    /// Nothing inside has the terminal open: when to look again.
    closed: Option<Instant>,
}

/// What can be done.
struct Ready {
    input: bool,
    output: bool,
    master: PollFlags,
    ended: bool,
}

impl Carrier {
    fn run(mut self) -> End {
        let mut chunk = [0; CHUNK];
        loop {
            let Some(ready) = self.wait() else {
                return End::Shown;
            };
            if self.held.load(Ordering::SeqCst) {
                // What was ready may have been taken by somebody else meanwhile.
                let since = Instant::now();
                thread::park();
                self.put_off(since);
                continue;
            }
            if ready.ended {
                self.until = Some(Instant::now() + LATE);
                self.closed = None;
            }
            if ready.output && self.show().is_err() {
                return End::Unread;
            }
            if !self.typed.is_empty() && !ready.master.is_empty() {
                self.type_in(!ready.master.contains(PollFlags::OUT));
            }
            if self.shown.is_empty() && !ready.master.is_empty() {
                match rustix::io::read(&self.master, &mut chunk) {
                    Ok(length) if length > 0 => {
                        self.shown.extend_from_slice(&chunk[..length]);
                        if self.until.is_some() {
                            self.owed = self.owed.saturating_sub(length);
                        }
                        // The usual case needs no second look at who is ready.
                        if self.takes() && self.show().is_err() {
                            return End::Unread;
                        }
                    }
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // The kernel's word for a terminal that nothing has open.
                    Ok(_) | Err(_) if self.until.is_some() => return End::Shown,
                    Ok(_) | Err(_) => self.closed = Some(Instant::now() + CLOSED),
                }
            }
            if ready.input {
                match rustix::io::read(&self.input, &mut chunk) {
                    Ok(0) => return End::HungUp,
                    Ok(length) => {
                        if self.escape.typed(&chunk[..length], Instant::now()) {
                            return End::Escaped;
                        }
                        self.typed.extend_from_slice(&chunk[..length]);
                        self.type_in(false);
                    }
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => return End::HungUp,
                }
            }
        }
    }

    /// Waits for something to do; `None`: nothing more comes.
    fn wait(&mut self) -> Option<Ready> {
        let now = Instant::now();
        if self.closed.is_some_and(|closed| closed <= now) {
            self.closed = None;
        }
        let patience = match (self.until, self.closed) {
            // What is still to be shown takes as long as it takes.
            (Some(_), _) if !self.shown.is_empty() => None,
            (Some(until), _) => match until.saturating_duration_since(now) {
                Duration::ZERO => return None,
                left => Some(left.min(QUIET)),
            },
            (None, closed) => closed.map(|closed| closed.saturating_duration_since(now)),
        };
        let events = |is: bool, events| if is { events } else { PollFlags::empty() };
        let room = self.typed.len() < PENDING;
        let mut fds = vec![PollFd::new(&self.input, events(room, PollFlags::IN))];
        let output = fds.len();
        if !self.shown.is_empty() {
            fds.push(PollFd::new(&self.output, PollFlags::OUT));
        }
        let master = fds.len();
        // One that has hung up inside would always have something to say.
        if self.closed.is_none() && (self.shown.is_empty() || !self.typed.is_empty()) {
            let wanted = events(self.shown.is_empty(), PollFlags::IN)
                | events(!self.typed.is_empty(), PollFlags::OUT);
            fds.push(PollFd::new(&self.master, wanted));
        }
        let ended = fds.len();
        if self.until.is_none() {
            fds.push(self.ended.poll());
        }
        let happened = poll_again(&mut fds, patience);
        if !matches!(happened, Ok(1..)) && self.until.is_some() {
            return None;
        }
        let flags = |range: std::ops::Range<usize>| {
            fds[range]
                .first()
                .map_or(PollFlags::empty(), PollFd::revents)
        };
        let ready = Ready {
            input: !flags(0..1).is_empty(),
            output: !flags(output..master).is_empty(),
            master: flags(master..ended),
            ended: !flags(ended..fds.len()).is_empty(),
        };
        if !self.shown.is_empty() {
            self.put_off(now);
        }
        Some(ready)
    }

    /// Does not count the time since then among that which output may go on after the end.
    fn put_off(&mut self, since: Instant) {
        if let Some(until) = self.until.as_mut().filter(|_| self.owed > 0) {
            *until += since.elapsed();
        }
    }

    /// Tells whether the user's terminal takes something now.
    fn takes(&self) -> bool {
        let mut fds = [PollFd::new(&self.output, PollFlags::OUT)];
        matches!(poll_again(&mut fds, Some(Duration::ZERO)), Ok(1))
    }

    /// Shows some of what the command wrote.
    fn show(&mut self) -> io::Result<()> {
        let since = Instant::now();
        let written = rustix::io::write(&self.output, &self.shown);
        // A terminal that takes something takes perhaps not all of it now.
        self.put_off(since);
        match written {
            Ok(written) => drop(self.shown.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Passes on some of what was typed. Where nobody reads inside any more, it is nobody's.
    fn type_in(&mut self, closed: bool) {
        match rustix::io::write(&self.master, &self.typed) {
            Ok(written) => drop(self.typed.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) if !closed => {}
            Err(_) => self.typed.clear(),
        }
    }
}

/// Writes what fits at once and gives up the rest.
pub(super) fn write_now(output: &OwnedFd, bytes: &[u8]) {
    let mut fds = [PollFd::new(output, PollFlags::OUT)];
    if matches!(poll_again(&mut fds, Some(Duration::ZERO)), Ok(1)) {
        let _gone = rustix::io::write(output, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::{OpenptyResult, openpty};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    /// A pseudoterminal that changes nothing of what goes through it.
    fn raw() -> OpenptyResult {
        let pty = openpty(None, None).unwrap();
        let mut modes = tcgetattr(&pty.slave).unwrap();
        modes.make_raw();
        tcsetattr(&pty.slave, OptionalActions::Now, &modes).unwrap();
        pty
    }

    fn end(relay: Relay) -> End {
        relay.thread.join().unwrap()
    }

    #[test]
    fn the_keys_end_it_while_nobody_inside_reads() {
        let (outer, inner) = (raw(), raw());
        let screen = outer.slave.try_clone().unwrap();
        let relay = Relay::begin(Arc::new(outer.slave), screen, Arc::new(inner.master)).unwrap();
        let mut keys = File::from(outer.master);
        // Far more than a terminal holds.
        keys.write_all(&[b'x'; 300_000]).unwrap();
        keys.write_all(b"\x1d\x1d\x1d").unwrap();
        assert_eq!(end(relay), End::Escaped);
        drop(inner.slave);
    }

    #[test]
    fn both_ways_to_the_end() {
        let (outer, inner) = (raw(), raw());
        let (read, write) = std::io::pipe().unwrap();
        let relay =
            Relay::begin(Arc::new(outer.slave), write.into(), Arc::new(inner.master)).unwrap();
        let (mut keys, mut inside) = (File::from(outer.master), File::from(inner.slave));
        keys.write_all(b"typed").unwrap();
        let mut typed = [0; 5];
        inside.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"typed");
        let writer = thread::spawn(move || inside.write_all(&[b'y'; 200_000]).unwrap());
        let reader = thread::spawn(move || {
            let (mut read, mut shown) = (read, Vec::new());
            read.read_to_end(&mut shown).unwrap();
            shown.len()
        });
        writer.join().unwrap();
        relay.end();
        assert_eq!(end(relay), End::Shown);
        assert_eq!(reader.join().unwrap(), 200_000);
    }

    #[test]
    fn a_terminal_that_takes_nothing_for_long_is_still_shown_all() {
        let (outer, inner) = (raw(), raw());
        let (read, write) = rustix::pipe::pipe().unwrap();
        let capacity = rustix::pipe::fcntl_getpipe_size(&read).unwrap();
        rustix::io::write(&write, &vec![b'x'; capacity]).unwrap();
        rustix::io::ioctl_fionbio(&inner.master, true).unwrap();
        let mut inside = File::from(inner.slave);
        inside.write_all(b"rest").unwrap();
        let until = Instant::now() + LATE;
        let carrier = Carrier {
            input: Arc::new(outer.slave),
            output: write,
            master: Arc::new(inner.master),
            ended: Flag::new().unwrap(),
            held: Arc::default(),
            escape: Escape::default(),
            typed: Vec::new(),
            shown: b"first ".to_vec(),
            until: Some(until),
            owed: HELD,
            closed: None,
        };
        let carrier = thread::spawn(|| carrier.run());
        thread::sleep(until.saturating_duration_since(Instant::now()));
        let mut all = Vec::new();
        File::from(read).read_to_end(&mut all).unwrap();
        assert!(all.ends_with(b"xfirst rest"));
        assert_eq!(carrier.join().unwrap(), End::Shown);
        drop((inside, outer.master));
    }

    #[test]
    fn a_terminal_that_hangs_up_is_noticed() {
        let (outer, inner) = (raw(), raw());
        let screen = inner.slave.try_clone().unwrap();
        let relay = Relay::begin(Arc::new(outer.slave), screen, Arc::new(inner.master)).unwrap();
        drop(outer.master);
        assert_eq!(end(relay), End::HungUp);
    }

    #[test]
    fn a_reader_that_goes_away_is_noticed() {
        let (outer, inner) = (raw(), raw());
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let relay =
            Relay::begin(Arc::new(outer.slave), write.into(), Arc::new(inner.master)).unwrap();
        File::from(inner.slave).write_all(b"x").unwrap();
        assert_eq!(end(relay), End::Unread);
    }
}
