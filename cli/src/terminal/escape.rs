//! The way out of a session that does not answer: Ctrl-] three times within a second, as systemd's
//! tools have it.

use std::time::{Duration, Instant};

const KEY: u8 = 0x1d;
const TIMES: usize = 3;
const WITHIN: Duration = Duration::from_secs(1);

/// Looks for the keys in what is typed.
#[derive(Debug, Default)]
pub(super) struct Escape {
    pressed: usize,
    first: Option<Instant>,
}

impl Escape {
    /// Looks at what was typed at this moment; `true`: the user wants out. The keys are passed on
    /// like all others.
    pub(super) fn typed(&mut self, bytes: &[u8], now: Instant) -> bool {
        for &byte in bytes {
            let late = |first: Instant| now.saturating_duration_since(first) > WITHIN;
            if byte != KEY {
                self.pressed = 0;
                continue;
            }
            if self.pressed == 0 || self.first.is_none_or(late) {
                self.pressed = 0;
                self.first = Some(now);
            }
            self.pressed += 1;
            if self.pressed == TIMES {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_within_a_second() {
        let begun = Instant::now();
        let typed = |pieces: &[(&[u8], u64)]| {
            let mut escape = Escape::default();
            pieces
                .iter()
                .any(|(bytes, at)| escape.typed(bytes, begun + Duration::from_millis(*at)))
        };
        assert!(typed(&[(b"\x1d\x1d\x1d", 0)]));
        assert!(typed(&[(b"a\x1d", 0), (b"\x1d", 400), (b"\x1db", 999)]));
        assert!(typed(&[(b"\x1d", 0), (b"\x1d\x1d", 1500), (b"\x1d", 1600)]));
        assert!(!typed(&[(b"\x1d\x1d", 0), (b"\x1d", 1500)]));
        assert!(!typed(&[(b"\x1d\x1da\x1d", 0)]));
        assert!(!typed(&[(b"\x1d\x1d", 0), (b"x", 1), (b"\x1d\x1d", 2)]));
    }
}
