//! A member of the group whose programs mean harm: others go on working, and when it is over the
//! daemon holds no more than before.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::probe::{PROBE, install_probe};
use crate::support::{DAEMON, Sandbox, alone, ctl, ctl_ok};

/// A client of bob's that has done its harm and holds on to it until it is dropped.
struct Hostile(Child);

impl Hostile {
    fn begin(testbed: &Testbed, harm: &str) -> Result<Self> {
        let mut child = testbed
            .command("bob", &[PROBE, harm])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let this = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(
            line.starts_with("ready ") && !line.contains(" 0 "),
            "{harm}: {line}"
        );
        Ok(this)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            eprintln!("a hostile client did not end: {error}");
        }
    }
}

/// Memory in KiB and descriptors of the daemon.
fn holds(testbed: &Testbed, pid: u32) -> Result<(i64, i64)> {
    let line = format!(
        "sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/{pid}/status; ls /proc/{pid}/fd | wc -l"
    );
    let text = testbed.run_ok("root", &["sh", "-c", &line])?;
    let mut numbers = text.lines().map(str::trim);
    let mut next = || anyhow::Ok(numbers.next().context("no number")?.parse()?);
    Ok((next()?, next()?))
}

fn others_work(testbed: &'static Testbed, harm: &str) -> Result<()> {
    let work = || -> Result<()> {
        ctl_ok(testbed, "alice", &["ps"])?;
        let sandbox = Sandbox::up(testbed, "alice", "beside", "claude-key", &[])?;
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
        ctl_ok(testbed, "alice", &["claude", "token", "status"])
            .or_else(|_| ctl_ok(testbed, "alice", &["templates"]))?;
        sandbox.down()?;
        Ok(())
    };
    work().with_context(|| format!("beside {harm}"))
}

#[test]
fn hostile_clients_keep_nobody_else_from_working() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _probe = install_probe(testbed)?;
    let daemon = testbed.main_pid(DAEMON)?;
    others_work(testbed, "nobody")?;
    for harm in ["silent", "descriptors", "large", "flood", "connections"] {
        let before = holds(testbed, daemon)?;
        let hostile = Hostile::begin(testbed, harm)?;
        others_work(testbed, harm)?;
        drop(hostile);
        let settled = wait_for("a daemon at rest", Duration::from_secs(20), || {
            let now = holds(testbed, daemon)?;
            let fine = now.0 <= before.0 + 8 * 1024 && (now.1 - before.1).abs() <= 5;
            Ok(fine.then_some(()))
        });
        let now = holds(testbed, daemon)?;
        settled
            .with_context(|| format!("{harm}: from {before:?} (KiB, descriptors) to {now:?}"))?;
        ensure!(
            ctl(testbed, "bob", &["ps"])?.ok(),
            "{harm}: not even bob himself"
        );
    }
    ensure!(
        testbed.main_pid(DAEMON)? == daemon,
        "the daemon was restarted"
    );
    Ok(())
}
