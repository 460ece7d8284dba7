//! Deadlines, and waiting for one descriptor until then.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

/// A point in time to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The time this long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Tells whether it has come.
    pub fn is_over(self) -> bool {
        self.left().is_zero()
    }

    /// How long it is until then.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// How long it is until then, as `poll` takes it.
    pub fn timespec(self) -> Timespec {
        let left = self.left();
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        }
    }
}

/// Waits for events on descriptors; `None` waits without end.
///
/// # Errors
/// What `poll` says; being interrupted is not an error.
pub fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Deadline>) -> io::Result<usize> {
    loop {
        let left = deadline.map(Deadline::timespec);
        match poll(fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Waits for events on one descriptor. `Ok(false)`: the deadline came first.
///
/// # Errors
/// What `poll` says.
pub fn poll_one(fd: BorrowedFd<'_>, events: PollFlags, deadline: Deadline) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, events)];
    Ok(poll_until(&mut fds, Some(deadline))? > 0)
}

/// Nanoseconds since the machine booted, time asleep included.
pub fn boot_time_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000) + nanoseconds
}
