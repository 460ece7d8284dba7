//! Moves bytes from one descriptor to another until either side ends: with `splice`, where the
//! kernel can, so that they need not be copied through this process; else by reading and writing.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

/// How much is moved at a time: what the pipes hold at most.
const CHUNK: usize = 512 * 1024;
/// What a pipe holds at first.
const FULL: usize = 64 * 1024;
const BUFFER: usize = 128 * 1024;

/// After the command has ended, while something it left behind still holds the pipe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long output may pause.
    quiet: Duration,
    /// How long it may go on in all, once everything written before the end has been passed on.
    late: Duration,
}

pub(super) const PATIENCE: Patience = Patience {
    quiet: Duration::from_millis(50),
    late: Duration::from_secs(1),
};

/// Why a pump stopped.
#[derive(Debug)]
pub(super) enum End {
    /// Everything has been moved, or the command has ended and nothing more comes.
    Done,
    /// Nobody reads the other side any more.
    Closed,
    /// The source could not be read.
    ReadFailed(io::Error),
    /// The sink could not be written.
    WriteFailed(io::Error),
}

/// What a pump does once the command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// Stops at once: nobody is left to read.
    Stop,
    /// Passes on what the command has written.
    Drain,
}

pub(super) struct Pump {
    pub(super) source: OwnedFd,
    pub(super) sink: OwnedFd,
    /// Readable once the command has ended.
    pub(super) ended: Arc<OwnedFd>,
    pub(super) afterwards: Afterwards,
    pub(super) patience: Patience,
}

enum Ready {
    Source,
    Ended,
    Closed,
    Nothing,
}

/// How far draining has got.
struct Drain {
    owed: u64,
    until: Instant,
}

impl Pump {
    /// Runs to the end; both descriptors are closed when it returns.
    pub(super) fn run(self) -> End {
        match self.pump() {
            Ok(end) | Err(end) => end,
        }
    }

    fn pump(&self) -> Result<End, End> {
        let mut small = true;
        let mut drain = None;
        let mut buffer = None;
        loop {
            match self.wait(drain.as_mut())? {
                Ready::Closed => return Ok(End::Closed),
                Ready::Nothing => return Ok(End::Done),
                Ready::Ended if self.afterwards == Afterwards::Stop => return Ok(End::Done),
                Ready::Ended => {
                    drain = Some(Drain {
                        owed: rustix::io::ioctl_fionread(&self.source).unwrap_or(0),
                        until: Instant::now() + self.patience.late,
                    });
                }
                Ready::Source => {
                    let Some(moved) = self.transfer(&mut buffer)? else {
                        return Ok(End::Done);
                    };
                    if small && moved >= FULL {
                        small = false;
                        self.grow();
                    } else if !small && moved < FULL {
                        // Who writes much is let write more, so that less often somebody is woken.
                        std::thread::yield_now();
                    }
                    if let Some(drain) = &mut drain {
                        drain.owed = drain.owed.saturating_sub(moved as u64);
                    }
                }
            }
        }
    }

    /// Makes both pipes hold more, the user's as well: what fits decides how often everybody takes
    /// turns. Only for who needs it, since a user's pipes may hold only so much in all; where an end is
    /// no pipe, or may not grow, it works as well, only slower.
    fn grow(&self) {
        for end in [&self.source, &self.sink] {
            let _size = rustix::pipe::fcntl_setpipe_size(end, CHUNK);
        }
    }

    /// Waits until there is something to move, the sink is closed, the command has ended, or, when
    /// that is known, enough time has passed since.
    fn wait(&self, drain: Option<&mut Drain>) -> Result<Ready, End> {
        let Some(drain) = drain else {
            return self.poll(true, None);
        };
        if drain.owed > 0 {
            match self.poll(false, Some(Duration::ZERO))? {
                // It was in the pipe. Any process of the sandbox that holds the pipe can open it to
                // read, and one has.
                Ready::Nothing => drain.owed = 0,
                ready => return Ok(ready),
            }
        }
        let left = drain.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Ready::Nothing);
        }
        self.poll(false, Some(self.patience.quiet.min(left)))
    }

    fn poll(&self, for_the_end: bool, timeout: Option<Duration>) -> Result<Ready, End> {
        let mut fds = [
            PollFd::new(&self.source, PollFlags::IN),
            PollFd::new(&self.sink, PollFlags::empty()),
            PollFd::new(&self.ended, PollFlags::IN),
        ];
        let watched = if for_the_end { 3 } else { 2 };
        if poll_again(&mut fds[..watched], timeout).map_err(End::ReadFailed)? == 0 {
            return Ok(Ready::Nothing);
        }
        let happened = |index: usize| fds[index].revents();
        Ok(
            if happened(1).intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
                Ready::Closed
            } else if for_the_end && !happened(2).is_empty() {
                Ready::Ended
            } else {
                Ready::Source
            },
        )
    }

    /// Moves once; `None` is the end of the source. A buffer means that splicing does not work. It waits
    /// for room only: what was there to be moved may be gone again.
    fn transfer(&self, buffer: &mut Option<Vec<u8>>) -> Result<Option<usize>, End> {
        if let Some(buffer) = buffer {
            return self.copy(buffer);
        }
        match splice(
            &self.source,
            None,
            &self.sink,
            None,
            CHUNK,
            SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
        ) {
            Ok(0) => Ok(None),
            Ok(moved) => Ok(Some(moved)),
            Err(Errno::INTR) => Ok(Some(0)),
            Err(Errno::AGAIN) => {
                self.wait_for_room()?;
                Ok(Some(0))
            }
            Err(Errno::PIPE) => Err(End::Closed),
            // Reading and writing tell which side it is, if it is one.
            Err(_) => self.copy(buffer.insert(vec![0; BUFFER])),
        }
    }

    fn copy(&self, buffer: &mut [u8]) -> Result<Option<usize>, End> {
        let length = match rustix::io::read(&self.source, &mut *buffer) {
            Ok(0) => return Ok(None),
            Ok(length) => length,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(Some(0)),
            Err(error) => return Err(End::ReadFailed(error.into())),
        };
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match rustix::io::write(&self.sink, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for_room()?,
                Err(Errno::PIPE) => return Err(End::Closed),
                Err(error) => return Err(End::WriteFailed(error.into())),
            }
        }
        Ok(Some(length))
    }

    /// Waits until the sink takes more.
    fn wait_for_room(&self) -> Result<(), End> {
        let mut fds = [PollFd::new(&self.sink, PollFlags::OUT)];
        poll_again(&mut fds, None).map_err(End::WriteFailed)?;
        Ok(())
    }
}

/// Polls, also after an interruption. Gives how many descriptors have something to say.
pub(crate) fn poll_again(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    loop {
        match poll(fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}

/// Makes a pipe. Its far end travels into the sandbox, where another user
/// may open it again through `/dev/stdout`; only holders of the pipe can get that far.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fchmod(&write, rustix::fs::Mode::from_raw_mode(0o666))?;
    Ok((read, write))
}

/// Makes a pipe to be read here. Who holds the other end may read from it, too, so reading does not
/// wait: what was there a moment ago may be gone.
pub(super) fn pipe_to_read() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe()?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}
