//! The sandbox's own first process misbehaves: it is killed, it hangs, it talks without end.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{DAEMON, Sandbox, beside_others, ctl, ctl_ok};

/// The sandbox's first process, as the host numbers it.
fn leader(testbed: &Testbed, sandbox: &Sandbox) -> Result<u32> {
    let machine = format!("forage-{}", sandbox.id);
    let argv = ["machinectl", "show", "-p", "Leader", "--value", &machine];
    let pid = testbed.run_ok("root", &argv)?;
    pid.trim().parse().context("no leader")
}

/// How much memory a process holds, in KiB.
fn memory(testbed: &Testbed, pid: u32) -> Result<u64> {
    let status = testbed.run_ok("root", &["cat", &format!("/proc/{pid}/status")])?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.context("no VmRSS")?.parse().context("VmRSS")
}

#[test]
fn a_first_process_that_is_killed_fails_the_sandbox_with_the_reason() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "init-killed", "claude-key", &[])?;
    testbed.kill(leader(testbed, &sandbox)?, "KILL")?;
    wait_for("a failed sandbox", Duration::from_secs(20), || {
        Ok((sandbox.field("state")? == "failed").then_some(()))
    })?;
    let failure = sandbox.field("failure")?;
    ensure!(failure.contains("first process"), "{failure}");
    ensure!(!sandbox.field("hint")?.is_empty(), "no hint");
    let secrets = testbed.run_ok("root", &["ls", "/run/firefly-forage/secrets"])?;
    ensure!(!secrets.contains(&sandbox.id), "{secrets}");
    ctl_ok(testbed, "bob", &["start", "init-killed"])?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}

#[test]
fn a_first_process_that_hangs_can_be_looked_at_and_stopped() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "init-hangs", "claude-key", &[])?;
    testbed.kill(leader(testbed, &sandbox)?, "STOP")?;
    ensure!(sandbox.field("state")? == "running");
    // A command does not need it.
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    let stop = ctl(testbed, "bob", &["stop", "init-hangs"])?;
    ensure!(stop.ok(), "{}", stop.text());
    ensure!(sandbox.field("state")? == "stopped");
    let unit = testbed.run("root", &["systemctl", "is-active", &sandbox.unit()])?;
    ensure!(unit.stdout.trim() == "inactive", "{}", unit.text());
    ctl_ok(testbed, "bob", &["start", "init-hangs"])?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}

/// Writes to the console, and to the socket systemd-nspawn listens on, as fast as it goes.
const SPAM: &str = "use Socket; fork; fork; \
    if (open(my $c, '>', '/dev/console')) { if (!fork) { print $c 'x' x 500, \"\\n\" while 1 } } \
    socket(my $s, AF_UNIX, SOCK_DGRAM, 0); my $to = sockaddr_un('/run/host/notify'); \
    while (1) { send($s, \"READY=1\\nSTATUS=\" . 'y' x 3000, 0, $to) }";

#[test]
fn a_first_process_that_talks_without_end_keeps_nobody_from_working() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "init-spams", "claude-key", &[])?;
    let machine = format!("forage-{}", sandbox.id);
    let shim = testbed.main_pid(&sandbox.unit())?;
    let daemon = testbed.main_pid(DAEMON)?;
    let before = (memory(testbed, shim)?, memory(testbed, daemon)?);
    let journal = testbed.journal_cursor()?;
    let spam = [
        "systemd-run",
        "-M",
        &machine,
        "--quiet",
        "--unit=spam",
        "perl",
        "-e",
        SPAM,
    ];
    testbed.run_ok("root", &spam)?;
    for _ in 0..5 {
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
        ensure!(sandbox.field("state")? == "running");
    }
    let busy = testbed.run_ok("root", &["systemctl", "-M", &machine, "is-active", "spam"])?;
    ensure!(busy.trim() == "active", "{busy}");
    let after = (memory(testbed, shim)?, memory(testbed, daemon)?);
    ensure!(
        after.0 < before.0 + 8 * 1024 && after.1 < before.1 + 8 * 1024,
        "memory grew from {before:?} to {after:?} KiB"
    );
    let stop = ctl(testbed, "bob", &["stop", "init-spams"])?;
    ensure!(
        stop.ok() && sandbox.field("state")? == "stopped",
        "{}",
        stop.text()
    );
    // None of it passed for the shim's words.
    let told = testbed.journal(&[&format!("--after-cursor={journal}"), "-u", &sandbox.unit()])?;
    ensure!(told.len() < 100, "{} entries in the journal", told.len());
    Ok(())
}
