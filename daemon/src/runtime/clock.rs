//! The clocks of the host.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::core::Clock;

/// The clocks of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostClock;

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
}
