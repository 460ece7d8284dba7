//! What those are told who subscribed to signals about credentials.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;

use crate::probe::PROBE;

/// What a user's programs are told.
pub(crate) struct Signals {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Signals {
    /// Subscribes as a user, with the probe that is installed.
    pub(crate) fn of(testbed: &Testbed, user: &str) -> Result<Self> {
        let mut command = testbed.command(user, &[PROBE, "signals"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let lines = BufReader::new(stdout).lines();
        let mut signals = Self { child, lines };
        signals.expect("ready")?;
        Ok(signals)
    }

    /// Waits for what is told next, which has to be this.
    pub(crate) fn expect(&mut self, expected: &str) -> Result<()> {
        let told = self.lines.next().context("nothing more is told")??;
        ensure!(told == expected, "{told} is told, not {expected}");
        Ok(())
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
