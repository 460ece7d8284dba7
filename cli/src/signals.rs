//! Signals as something to wait for, so that they can be passed on or cleaned up after.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that are read instead of acting, until this is dropped. Threads started meanwhile leave
/// them alone, too.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
    taken: SigSet,
}

impl Signals {
    /// Takes signals. One that whoever started us had set to be ignored (as `nohup` does) stays so.
    pub(crate) fn take(signals: &[Signal]) -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored(&status);
        let taken: SigSet = signals
            .iter()
            .copied()
            .filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0)
            .collect();
        let fd = SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        taken.thread_block()?;
        Ok(Self { fd, taken })
    }

    /// The next signal that has arrived.
    pub(crate) fn next(&self) -> Option<i32> {
        let info = self.fd.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // It can only fail for a wrong argument.
        let _ignored = self.taken.thread_unblock();
    }
}

/// The set of ignored signals in `/proc/self/status`.
fn ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::pthread::{pthread_kill, pthread_self};

    #[test]
    fn signals_are_read_in_place_of_acting() {
        let signals = Signals::take(&[Signal::SIGUSR1, Signal::SIGTERM]).unwrap();
        assert_eq!(signals.next(), None);
        pthread_kill(pthread_self(), Signal::SIGTERM).unwrap();
        assert_eq!(signals.next(), Some(15));
        assert_eq!(signals.next(), None);
    }

    #[test]
    fn ignored_signals() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored(""), 0);
    }
}
