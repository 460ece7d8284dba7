//! Signals as something to poll for, and their defaults restored in children.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::Signal as AnySignal;

/// Blocks the signals that ask the shim to stop, and gives a descriptor to read them from.
///
/// # Errors
/// What the system says.
pub fn stop_requests() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Gives every signal its default action and unblocks all. A program that is executed inherits
/// ignored and blocked signals otherwise (Rust ignores SIGPIPE).
///
/// # Errors
/// What `sigprocmask` says.
#[expect(unsafe_code, reason = "signal has no safe form")]
pub fn restore_defaults() -> io::Result<()> {
    for number in 1..=64 {
        // SAFETY: the default action runs no code of this program. Numbers that cannot be set
        // (SIGKILL, SIGSTOP, those the C library keeps) are refused without effect.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// The signal with this number, if it is one that processes send each other.
#[expect(unsafe_code, reason = "real-time signals have no safe constructor")]
pub fn numbered(number: i32) -> Option<AnySignal> {
    if let Some(signal) = AnySignal::from_named_raw(number) {
        return Some(signal);
    }
    (libc::SIGRTMIN()..=libc::SIGRTMAX())
        .contains(&number)
        .then(|| {
            // SAFETY: the C library keeps the numbers below SIGRTMIN for itself; this one is not below.
            unsafe { AnySignal::from_raw_unchecked(number) }
        })
}

/// The signal by which systemd as a container's first process powers the container off.
pub fn power_off() -> AnySignal {
    numbered(libc::SIGRTMIN() + 4).unwrap_or(AnySignal::TERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for bad in [i32::MIN, -1, 0, 32, 33, 65, i32::MAX] {
            assert_eq!(numbered(bad), None, "{bad}");
        }
        assert_eq!(numbered(9), Some(AnySignal::KILL));
        assert_eq!(numbered(64).map(AnySignal::as_raw), Some(64));
        assert_eq!(power_off().as_raw(), 38);
    }
}
