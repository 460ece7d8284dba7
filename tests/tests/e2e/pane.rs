//! A shell in a terminal that answers what shells ask terminals, and draws what they print: fish and
//! zsh redraw their line, so only the drawn screen tells what is in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use forage_tests::testbed::{Testbed, wait_for};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A terminal of the host; it ends with its test.
pub(crate) struct Pane {
    testbed: &'static Testbed,
    user: &'static str,
    socket: String,
}

impl Pane {
    /// Opens one and waits for the first that its program shows.
    pub(crate) fn open(
        testbed: &'static Testbed,
        user: &'static str,
        program: &str,
    ) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pane = Self {
            testbed,
            user,
            socket: format!("test-{number}"),
        };
        let new = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "50",
            program,
        ];
        pane.tmux(&new)?;
        wait_for("a prompt", Duration::from_secs(60), || {
            Ok(Some(()).filter(|()| pane.screen().is_ok_and(|text| !text.trim().is_empty())))
        })?;
        Ok(pane)
    }

    /// Presses keys, named as tmux does; after `-l`, text.
    pub(crate) fn keys(&self, keys: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], keys].concat())?;
        Ok(())
    }

    /// Types a line.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        self.keys(&["-l", text])?;
        self.keys(&["Enter"])
    }

    /// Waits until the screen shows this.
    pub(crate) fn shows(&self, text: &str) -> Result<()> {
        let shown = wait_for(text, Duration::from_secs(60), || {
            Ok(Some(()).filter(|()| self.screen().is_ok_and(|screen| screen.contains(text))))
        });
        shown.with_context(|| format!("the screen:\n{}", self.screen().unwrap_or_default()))
    }

    /// Presses Tab until the screen shows this: a shell that is given no answer in time completes
    /// nothing.
    pub(crate) fn completes(&self, text: &str) -> Result<()> {
        let mut looks = 0_u32;
        let shown = wait_for(text, Duration::from_secs(60), || {
            // Long enough for an answer, at some tenth of a second each.
            if looks.is_multiple_of(50) {
                self.keys(&["Tab"])?;
            }
            looks += 1;
            Ok(Some(()).filter(|()| self.screen().is_ok_and(|screen| screen.contains(text))))
        });
        shown.with_context(|| format!("the screen:\n{}", self.screen().unwrap_or_default()))
    }

    fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let argv = [&["tmux", "-L", &self.socket], arguments].concat();
        self.testbed.run_ok(self.user, &argv)
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        let _ended = self.tmux(&["kill-server"]);
    }
}
