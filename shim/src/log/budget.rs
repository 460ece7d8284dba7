//! How much of the console is written: what a boot says at once, and then a trickle, so that who
//! floods the console does not keep the disk busy.

use std::time::Instant;

/// What may be written at once, in bytes.
const AT_ONCE: f64 = 256.0 * 1024.0;
/// What may be written from then on, in bytes per second.
const PER_SECOND: f64 = 8.0 * 1024.0;

/// A budget of bytes that fills with time.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    since: Instant,
}

impl Budget {
    /// A full one.
    pub(super) fn full() -> Self {
        Self {
            left: AT_ONCE,
            since: Instant::now(),
        }
    }

    /// Takes this many bytes, if there are as many.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.take_at(bytes, Instant::now())
    }

    fn take_at(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * PER_SECOND).min(AT_ONCE);
        let wanted = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let enough = wanted <= self.left;
        if enough {
            self.left -= wanted;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_runs_out_and_fills_again() {
        let mut budget = Budget::full();
        let begin = budget.since;
        let chunk = 4096;
        let taken = (0..1000).filter(|_| budget.take_at(chunk, begin)).count();
        assert_eq!(taken, 64);
        assert!(!budget.take_at(1, begin));
        let later = begin + Duration::from_secs(1);
        assert!(budget.take_at(chunk, later) && budget.take_at(chunk, later));
        assert!(!budget.take_at(chunk, later));
        // However long nothing comes, no more than so much is saved up.
        let much_later = later + Duration::from_secs(1_000_000);
        let taken = (0..1000)
            .filter(|_| budget.take_at(chunk, much_later))
            .count();
        assert_eq!(taken, 64);
    }
}
