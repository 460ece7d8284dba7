//! The host's journal.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::instance::Testbed;

impl Testbed {
    /// The journal's entries, as objects; `args` are journalctl's, say `-u NAME` or `FIELD=value`.
    pub fn journal(&self, args: &[&str]) -> Result<Vec<Value>> {
        let mut argv = vec![
            "journalctl",
            "--quiet",
            "--no-pager",
            "--all",
            "--output=json",
        ];
        argv.extend(args);
        // What was said before this is there to be read.
        self.run_ok("root", &["journalctl", "--sync"])?;
        let text = self.run_ok("root", &argv)?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("journalctl printed no JSON"))
            .collect()
    }

    /// The present end of the journal, to look at what comes after it.
    pub fn journal_cursor(&self) -> Result<String> {
        let last = self.journal(&["--lines=1"])?;
        let cursor = last
            .first()
            .and_then(|entry| entry.get("__CURSOR")?.as_str());
        Ok(cursor.context("the journal is empty")?.to_owned())
    }

    /// Follows the journal from a cursor until an entry is the one looked for.
    pub fn journal_until(
        &self,
        cursor: &str,
        args: &[&str],
        timeout: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        let after = format!("--after-cursor={cursor}");
        let mut argv = vec![
            "journalctl",
            "--quiet",
            "--follow",
            "--no-tail",
            "--output=json",
            &after,
        ];
        argv.extend(args);
        let mut follower = self
            .command("root", &argv)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot follow the journal")?;
        let stdout = follower
            .stdout
            .take()
            .context("the journal has no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.into_iter().all(|line| sender.send(line).is_ok())
        });
        let end = Instant::now() + timeout;
        let found = loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                break None;
            };
            let entry: Value = serde_json::from_str(&line).context("journalctl printed no JSON")?;
            if wanted(&entry) {
                break Some(entry);
            }
        };
        follower
            .kill()
            .context("cannot end the journal's follower")?;
        follower
            .wait()
            .context("cannot wait for the journal's follower")?;
        let Some(entry) = found else {
            bail!(
                "no such entry in the journal within {timeout:?} ({})",
                args.join(" ")
            );
        };
        Ok(entry)
    }
}
