//! Waiting and watching, and the journal's one entry for each operation.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;
use serde_json::Value;

use crate::support::{SECRET, Sandbox, SecretFile, alone, beside_others, ctl, ctl_ok, daemon};

fn begin(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<Child> {
    let mut argv = vec!["forage-ctl"];
    argv.extend(arguments);
    let mut command = testbed.command(user, &argv);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command.stderr(Stdio::piped()).spawn()?)
}

#[test]
fn wait_ends_with_the_state_also_across_a_restart_of_the_daemon() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "waited", "claude-key", &[])?;
    ensure!(ctl_ok(testbed, "bob", &["wait", "waited", "--state", "running"])? == "running\n");
    // The watcher tells when both that wait are there to be told.
    let mut watcher = Watcher::of(testbed, "bob")?;
    ensure!(watcher.next("waited")?["state"] == "running");
    let waiters = [
        begin(testbed, "bob", &["wait", "waited"])?,
        begin(testbed, "root", &["wait", "waited", "--owner", "bob"])?,
    ];
    let removed = begin(testbed, "bob", &["wait", "waited", "--state", "removed"])?;
    daemon(testbed, "restart")?;
    ctl_ok(testbed, "bob", &["stop", "waited"])?;
    for waiter in waiters {
        let ended = waiter.wait_with_output()?;
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(ended.status.success() && text == "stopped\n", "{ended:?}");
    }
    while watcher.next("waited")?["state"] != "stopped" {}
    let running = begin(testbed, "bob", &["wait", "waited", "--state", "running"])?;
    sandbox.down()?;
    while !watcher.next("waited")?.is_null() {}
    ensure!(removed.wait_with_output()?.stdout == b"removed\n");
    ensure!(running.wait_with_output()?.status.code() == Some(3));
    watcher.end()?;
    let none = ctl(testbed, "bob", &["wait", "waited"])?;
    ensure!(none.code() == 3, "{}", none.text());
    let other = ctl(testbed, "bob", &["wait", "waited", "--state", "odd"])?;
    ensure!(other.code() == 2, "{}", other.text());
    Ok(())
}

/// A user's `ps --watch --json`.
struct Watcher {
    child: Child,
    blocks: Lines<BufReader<ChildStdout>>,
    last: String,
}

impl Watcher {
    fn of(testbed: &Testbed, user: &str) -> Result<Self> {
        // One that is told nothing does not hold the test up.
        let watch = ["timeout", "60", "forage-ctl", "ps", "--watch", "--json"];
        let mut command = testbed.command(user, &watch);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let blocks = BufReader::new(child.stdout.take().context("no output")?).lines();
        let last = String::new();
        Ok(Self {
            child,
            blocks,
            last,
        })
    }

    /// A sandbox by the next block; null where it is not there.
    fn next(&mut self, sandbox: &str) -> Result<Value> {
        let ended = || format!("nothing more was told after {}", self.last);
        let block = self.blocks.next().with_context(ended)??;
        let mut all: Value = serde_json::from_str(&block)?;
        self.last = block;
        let all = all["sandboxes"].as_array_mut().context("no list")?;
        let one = all.iter_mut().find(|one| one["name"] == sandbox);
        Ok(one.map(Value::take).unwrap_or_default())
    }

    fn end(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

#[test]
fn a_watcher_sees_what_happens_to_credentials() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    let _sandbox = Sandbox::up(testbed, "bob", "marked", "claude-key", &[])?;
    let mut watcher = Watcher::of(testbed, "bob")?;
    let fingerprint = |one: &Value| one["credentials"][0]["fingerprint"].clone();
    let before = watcher.next("marked")?;
    let first = fingerprint(&before);
    ensure!(before["credentialState"] == "ok", "{before}");
    ensure!(first.as_str().is_some_and(|first| first.len() == 8));
    ctl_ok(testbed, "bob", &["auth", "revoke", "marked"])?;
    while watcher.next("marked")?["credentialState"] != "revoked" {}
    ctl_ok(testbed, "bob", &["auth", "refresh", "marked"])?;
    loop {
        let now = watcher.next("marked")?;
        if now["credentialState"] == "ok" && fingerprint(&now) == first {
            break;
        }
    }
    testbed.write_file(SECRET, "root", "0400", b"sk-ant-api03-another\n")?;
    while fingerprint(&watcher.next("marked")?) == first {}
    watcher.end()?;
    file.restore()
}

#[test]
fn a_watcher_sees_what_reaches_a_sandbox_late() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "late", "claude-key", &[])?;
    let mut watcher = Watcher::of(testbed, "bob")?;
    ensure!(watcher.next("late")?["credentialState"] == "ok");
    let shim = testbed.main_pid(&sandbox.unit())?;
    testbed.kill(shim, "STOP")?;
    let revoked = ctl(testbed, "bob", &["auth", "revoke", "late"]);
    let told = loop {
        // Others' sandboxes change as well.
        match watcher.next("late") {
            Ok(told) if told["credentialState"] == "ok" => {}
            told => break told,
        }
    };
    testbed.kill(shim, "CONT")?;
    let (revoked, told) = (revoked?, told?);
    ensure!(told["credentialState"] == "stale", "{told}");
    ensure!(revoked.text().contains("not answer"), "{}", revoked.text());
    while watcher.next("late")?["credentialState"] != "revoked" {}
    watcher.end()
}

#[test]
fn what_goes_on_for_ever_ends_when_nobody_reads() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "unread", "claude-key", &[])?;
    for line in [
        "forage-ctl ps --watch -q | head -n 1",
        "forage-ctl logs unread --start -f | head -n 2",
        "forage-ctl logs unread -f | head -n 1",
    ] {
        let line = format!("set -o pipefail; timeout 60 {line}");
        let outcome = testbed.run("bob", &["bash", "-c", &line])?;
        ensure!(outcome.ok(), "{line}: {}", outcome.text());
    }
    Ok(())
}

#[test]
fn waiting_for_a_sandbox_that_fails_ends_with_eight() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let up = begin(testbed, "bob", &["up", "nonesuch", "-t", "broken"])?;
    up.wait_with_output()?;
    let _sandbox = Sandbox::adopt(testbed, "bob", "nonesuch")?;
    let wait = ctl(testbed, "bob", &["wait", "nonesuch", "--state", "running"])?;
    ensure!(
        wait.code() == 8 && wait.stderr.contains("failed"),
        "{}",
        wait.text()
    );
    ensure!(ctl_ok(testbed, "bob", &["wait", "nonesuch"])? == "failed\n");
    Ok(())
}

#[test]
fn every_operation_is_one_entry_of_the_journal() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let cursor = testbed.journal_cursor()?;
    {
        let sandbox = Sandbox::up(testbed, "bob", "noted", "claude-key", &[])?;
        sandbox.exec_ok(&["true"])?;
        ctl_ok(testbed, "bob", &["stop", "noted"])?;
        ctl(testbed, "bob", &["stop", "noted"])?;
        ctl_ok(testbed, "bob", &["start", "noted"])?;
        ctl_ok(testbed, "bob", &["ps"])?;
        ctl_ok(testbed, "bob", &["logs", "noted", "--start"])?;
        sandbox.down()?;
    }
    let after = format!("--after-cursor={cursor}");
    let entries = testbed.journal(&[&after, "FORAGE_EVENT=operation", "FORAGE_SANDBOX=noted"])?;
    let text =
        |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let seen: Vec<(String, String)> = entries
        .iter()
        .map(|entry| {
            (
                text(entry, "FORAGE_OPERATION"),
                text(entry, "FORAGE_OUTCOME"),
            )
        })
        .collect();
    let expected = [
        ("create", "ok"),
        ("exec", "ok"),
        ("stop", "ok"),
        ("stop", "SandboxNotRunning"),
        ("start", "ok"),
        ("remove", "ok"),
    ];
    let expected = expected.map(|(operation, outcome)| (operation.to_owned(), outcome.to_owned()));
    // The guard of the test may look for it once more.
    ensure!(seen.starts_with(&expected), "{seen:?}");
    for entry in &entries {
        let numbers = ["FORAGE_DURATION_MS", "FORAGE_UID"];
        ensure!(
            numbers
                .iter()
                .all(|key| text(entry, key).parse::<u64>().is_ok()),
            "{entry}"
        );
    }
    Ok(())
}
