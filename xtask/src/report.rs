//! Counting what passed, failed and was skipped.

use std::fmt;

/// The sums of a test run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// One check that passed or failed.
    pub(crate) fn check(ok: bool) -> Self {
        Self {
            passed: u64::from(ok),
            failed: u64::from(!ok),
            skipped: 0,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// What a test runner's closing line says, if this is one:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let sums = line.trim().strip_prefix("test result: ")?;
        let (_, sums) = sums.split_once(". ")?;
        let mut counts = Self::default();
        for part in sums.split(';') {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => counts.passed = number.parse().ok()?,
                Some((number, "failed")) => counts.failed = number.parse().ok()?,
                Some((number, "ignored")) => counts.skipped = number.parse().ok()?,
                _ => {}
            }
        }
        Some(counts)
    }

    /// Counts tests that passed by skipping as skipped.
    pub(crate) fn skip(&mut self, count: u64) {
        self.passed = self.passed.saturating_sub(count);
        self.skipped += count;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn a_runners_closing_line_is_read() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out";
        let counts = Counts {
            passed: 3,
            failed: 2,
            skipped: 1,
        };
        assert_eq!(Counts::from_line(line), Some(counts));
        assert_eq!(Counts::from_line("test host::up ... ok"), None);
        assert_eq!(counts.to_string(), "3 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn skips_are_not_passes() {
        let mut counts = Counts {
            passed: 3,
            failed: 0,
            skipped: 1,
        };
        counts.skip(2);
        assert_eq!(
            counts,
            Counts {
                passed: 1,
                failed: 0,
                skipped: 3
            }
        );
    }
}
