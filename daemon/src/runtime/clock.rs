//! The clocks of the host.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;

use crate::core::{Clock, Woken};

/// The latest point in time that is waited for, in seconds since 1970: the kernel counts to 2262.
const LATEST: i64 = 9_000_000_000;
/// How long to do without the timer where it is of no use, which no host is known for.
const WITHOUT: Duration = Duration::from_secs(600);

/// The clocks of the host.
pub(crate) struct HostClock {
    /// A timer of the wall clock, armed all the time: that the clock was set while nobody waited is
    /// told to who waits next.
    timer: Mutex<AsyncFd<OwnedFd>>,
}

impl HostClock {
    /// Takes a timer.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        arm(&timer, None)?;
        #[expect(
            deprecated,
            reason = "an OwnedFd stays open and the same for as long as it lives, which is all the \
                      unsafe replacement asks for"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self {
            timer: Mutex::new(timer),
        })
    }
}

#[async_trait]
impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn boot_time_ns(&self) -> u64 {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(rest)
    }

    async fn until(&self, at: Option<Timestamp>) -> Woken {
        let timer = self.timer.lock().await;
        match wait(&timer, at).await {
            // The library's clock is not the kernel's: somebody bends it.
            Ok(Woken::Due) if at.is_some_and(|at| self.now() < at) => {
                tokio::time::sleep(WITHOUT).await;
                Woken::ClockSet
            }
            Ok(woken) => woken,
            Err(error) => {
                tracing::error!("the timer for expiries fails: {error}");
                tokio::time::sleep(WITHOUT).await;
                Woken::ClockSet
            }
        }
    }
}

fn arm(timer: &OwnedFd, at: Option<Timestamp>) -> Result<(), Errno> {
    let seconds = at.map_or(LATEST, |at| at.as_second().clamp(0, LATEST));
    let rest = at.map_or(0, |at| at.subsec_nanosecond().max(0));
    let spec = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec {
            tv_sec: seconds,
            // Nothing at all would disarm it.
            tv_nsec: rest.max(i32::from(seconds == 0)).into(),
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &spec).map(drop)
}

async fn wait(timer: &AsyncFd<OwnedFd>, at: Option<Timestamp>) -> io::Result<Woken> {
    match arm(timer.get_ref(), at) {
        Err(Errno::CANCELED) => return Ok(Woken::ClockSet),
        armed => armed?,
    }
    loop {
        let mut ready = timer.readable().await?;
        let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
        match read {
            Ok(Err(error)) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {
                return Ok(Woken::ClockSet);
            }
            Ok(read) => return read.map(|_| Woken::Due),
            // Armed anew since it was ready.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn a_point_in_time_is_waited_for_and_not_more() {
        let clock = HostClock::new().unwrap();
        let at = clock.now() + SignedDuration::from_millis(30);
        assert_eq!(clock.until(Some(at)).await, Woken::Due);
        assert!(clock.now() >= at);
        for past in [Timestamp::MIN, Timestamp::UNIX_EPOCH, at] {
            assert_eq!(clock.until(Some(past)).await, Woken::Due, "{past}");
        }
        // Neither the far future nor nothing at all ends by itself.
        for far in [None, Some(Timestamp::MAX)] {
            let short = Duration::from_millis(20);
            let waited = tokio::time::timeout(short, clock.until(far)).await;
            assert!(waited.is_err(), "{far:?}");
        }
    }
}
