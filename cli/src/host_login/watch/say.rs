//! What the service says: to the journal with priorities, to systemd as its status, else as text.

use sd_notify::NotifyState;

use crate::output::{self, escape};

/// Where it is said.
#[derive(Debug)]
pub(super) struct Voice {
    quiet: bool,
    journal: bool,
    /// What was said last.
    last: String,
}

impl Voice {
    pub(super) fn new(quiet: bool) -> Self {
        let journal = std::env::var_os("JOURNAL_STREAM").is_some();
        Self {
            quiet,
            journal,
            last: String::new(),
        }
    }

    /// Something happened as it should.
    pub(super) fn tell(&mut self, text: &str) {
        text.clone_into(&mut self.last);
        status(text);
        if !self.quiet {
            self.line(6, text);
        }
    }

    /// Something is still as it was, unless it was said just now.
    pub(super) fn remark(&mut self, text: &str) {
        if self.last != text {
            self.tell(text);
        }
    }

    /// Somebody should look at it. What was said just now is not said again.
    pub(super) fn warn(&mut self, text: &str) {
        if self.last == text {
            return;
        }
        text.clone_into(&mut self.last);
        status(text);
        if self.journal {
            self.line(4, text);
        } else {
            output::warning(text);
        }
    }

    fn line(&self, priority: u8, text: &str) {
        let text = escape::text(text);
        if self.journal {
            output::note(&format!("<{priority}>{text}\n"));
        } else {
            output::note(&format!("{text}\n"));
        }
    }
}

/// The service watches.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The service is about to end.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("ends")]);
}

fn status(text: &str) {
    notify(&[NotifyState::Status(&escape::text(text))]);
}

/// Whoever started us need not listen.
fn notify(states: &[NotifyState<'_>]) {
    let _unheard = sd_notify::notify(states);
}
