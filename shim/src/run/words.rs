//! What the container writes to its console and what systemd-nspawn says: for the run's log, and as
//! far as operators need it for the journal.

use super::{Phase, Run};
use crate::log::{RunLog, Source};
use crate::nspawn::Nspawn;

/// How much of the console is written to the journal when the container does not come up.
const CONSOLE_LINES: usize = 20;
/// How much of what systemd-nspawn says is written: it says little, unless something is odd.
const NSPAWN_LINES: usize = 200;

impl Run<'_> {
    /// Takes what has been said by now.
    pub(super) fn hear_words(&mut self) {
        if let Some(container) = &mut self.container {
            self.log.console(&container.console.drain());
            let said = container.messages.drain();
            hear_nspawn(self.log, container, &said);
        }
    }

    /// Takes all that was said to the end. The end of the console is in the journal, too, if the
    /// container did not come up.
    pub(super) fn last_words(&mut self) {
        let Some(container) = &mut self.container else {
            return;
        };
        self.log.console(&container.console.drain_all());
        let last = container.console.last_lines(CONSOLE_LINES);
        self.log.end_console(&last);
        let said = container.messages.drain_all();
        hear_nspawn(self.log, container, &said);
        if matches!(self.phase, Phase::Booting(_)) {
            for line in last {
                tracing::info!(FORAGE_EVENT = "console", "console: {line}");
            }
        }
    }
}

fn hear_nspawn(log: &mut RunLog, container: &mut Nspawn, said: &[u8]) {
    let lines = &mut container.lines;
    container.said.take(said, |line| {
        *lines += 1;
        if *lines <= NSPAWN_LINES {
            tracing::warn!(FORAGE_EVENT = "nspawn", "systemd-nspawn: {line}");
            log.say(Source::Nspawn, line);
        }
    });
}
