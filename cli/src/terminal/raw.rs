//! Raw mode of a terminal, and its end on every way out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, Once, PoisonError};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};
use rustix::termios::{
    Action, OptionalActions, QueueSelector, Termios, tcflow, tcflush, tcgetattr, tcsetattr,
};

/// The terminal that is in raw mode, and what it was like before. A panic ends the process without
/// dropping anything, so this cannot be on a stack.
static HELD: Mutex<Option<(Arc<OwnedFd>, Termios)>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// A terminal in raw mode, until this is dropped. There is one at a time.
#[derive(Debug)]
pub(super) struct Raw(Arc<OwnedFd>);

impl Raw {
    /// Puts a terminal into raw mode. As a background job this process is stopped until it is in the
    /// foreground.
    pub(super) fn enter(terminal: &Arc<OwnedFd>) -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        // It changes nothing, but a background job may not do it: what a shell has made of the
        // terminal for its own prompt must not be taken for what it was like.
        tcflow(terminal, Action::OOn)?;
        let before = tcgetattr(terminal)?;
        *lock() = Some((Arc::clone(terminal), before));
        let raw = Self(Arc::clone(terminal));
        raw.again()?;
        Ok(raw)
    }

    /// Makes it raw once more, after this process was stopped by force.
    pub(super) fn again(&self) -> io::Result<()> {
        tcflow(&self.0, Action::OOn)?;
        let mut raw = tcgetattr(&self.0)?;
        raw.make_raw();
        Ok(tcsetattr(&self.0, OptionalActions::Now, &raw)?)
    }
}

impl Raw {
    /// Puts back what there was, without what was typed and not read: answers of the terminal to what
    /// a program asked it, say, which nobody reads any more, or a shell would.
    pub(super) fn end_at_once(self) {
        let terminal = Arc::clone(&self.0);
        drop(self);
        if in_foreground(&terminal) {
            let _gone = tcflush(&terminal, QueueSelector::IFlush);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts back what there was. In the background the terminal is another's, who has made of it what
/// they need; if it has gone, there is nothing to put back.
fn restore() {
    let Some((terminal, before)) = lock().take() else {
        return;
    };
    if !in_foreground(&terminal) {
        return;
    }
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTTOU);
    let _cannot_fail = blocked.thread_block();
    // Not after what is still to be written: a terminal that is stuck would hold us for ever.
    let _gone = tcsetattr(&terminal, OptionalActions::Now, &before);
    let _cannot_fail = blocked.thread_unblock();
}

fn in_foreground(terminal: &OwnedFd) -> bool {
    // One that does not control this process has no foreground.
    tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
}

fn lock() -> std::sync::MutexGuard<'static, Option<(Arc<OwnedFd>, Termios)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}
