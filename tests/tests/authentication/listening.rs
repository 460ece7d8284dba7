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
        ensure!(signals.next()? == "ready");
        Ok(signals)
    }

    /// What is told next.
    pub(crate) fn next(&mut self) -> Result<String> {
        Ok(self.lines.next().context("nothing more is told")??)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
