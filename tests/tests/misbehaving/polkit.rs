//! polkit is gone, or hangs. systemd asks it before it starts a unit, so nothing can be started; all
//! that is done with what runs needs neither.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, Undo, alone, ctl, ctl_ok, service, store, token};

const UNMASK: &str = "systemctl unmask --runtime -q polkit; systemctl reset-failed polkit; true";

/// Runs `forage-ctl`, which has to answer within the time that is promised.
fn promptly(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<(i32, String)> {
    let mut argv = vec!["timeout", "5", "forage-ctl"];
    argv.extend(arguments);
    let outcome = testbed.run(user, &argv)?;
    Ok((outcome.code(), outcome.text()))
}

fn says_what_is_wrong(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<()> {
    let (code, text) = promptly(testbed, user, arguments)?;
    ensure!(
        code != 0 && code != 124,
        "{arguments:?} ended with {code}: {text}"
    );
    ensure!(
        text.contains("error:") && text.contains("hint:") && text.contains("polkit"),
        "{arguments:?}: {text}"
    );
    Ok(())
}

/// What works and what does not; `running` runs, `stopped` does not.
fn without_polkit(testbed: &Testbed, running: &Sandbox, stopped: &Sandbox) -> Result<()> {
    ensure!(running.exec_ok(&["id", "-un"])? == "agent");
    ensure!(running.field("state")? == "running");
    ctl_ok(testbed, "bob", &["ps"])?;
    ensure!(store(testbed, "bob", &token('p'))?.ok());
    ctl_ok(testbed, "bob", &["claude", "token", "status"])?;
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    says_what_is_wrong(testbed, "bob", &["start", &stopped.name])?;
    ensure!(
        stopped.field("state")? == "stopped",
        "{}",
        stopped.status()?
    );
    says_what_is_wrong(testbed, "bob", &["up", "never", "-t", "claude-key"])?;
    ensure!(ctl(testbed, "bob", &["status", "never"])?.code() == 3);
    says_what_is_wrong(testbed, "bob", &["down", &stopped.name])?;
    ensure!(
        stopped.field("state")? == "stopped",
        "{}",
        stopped.status()?
    );
    // Acting for others needs polkit's consent. No answer is a no.
    says_what_is_wrong(testbed, "alice", &["--owner", "bob", "ps"])?;
    says_what_is_wrong(testbed, "alice", &["--owner", "bob", "stop", &running.name])?;
    ctl_ok(testbed, "bob", &["stop", &running.name])?;
    ensure!(running.field("state")? == "stopped");
    Ok(())
}

#[test]
fn without_polkit_what_runs_is_used_and_stopped_and_starts_say_why_not() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let running = Sandbox::up(testbed, "bob", "pk-runs", "claude-key", &[])?;
    let stopped = Sandbox::up(testbed, "bob", "pk-stopped", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", &stopped.name])?;
    let _polkit = Undo::new(testbed, UNMASK);
    testbed.run_ok(
        "root",
        &["systemctl", "mask", "--runtime", "-q", "--now", "polkit"],
    )?;
    let before = testbed.inventory()?;
    without_polkit(testbed, &running, &stopped)?;
    let left = testbed.inventory()?.since(&before);
    let report = format!("file /run/firefly-forage/result/{}", running.id);
    ensure!(
        left.lines().all(|line| line == report),
        "left behind: {left}"
    );
    testbed.run_ok(
        "root",
        &["systemctl", "unmask", "--runtime", "-q", "polkit"],
    )?;
    ctl_ok(testbed, "bob", &["start", &stopped.name])?;
    ensure!(stopped.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}

#[test]
fn a_polkit_that_hangs_holds_nobody_up_and_starts_nothing_later() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let running = Sandbox::up(testbed, "bob", "ph-runs", "claude-key", &[])?;
    let stopped = Sandbox::up(testbed, "bob", "ph-stopped", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", &stopped.name])?;
    let cursor = testbed.journal_cursor()?;
    let _polkit = Undo::new(testbed, "systemctl kill -s CONT polkit; true");
    service(testbed, "start", "polkit")?;
    testbed.run_ok("root", &["systemctl", "kill", "-s", "STOP", "polkit"])?;
    without_polkit(testbed, &running, &stopped)?;
    // systemd gives up waiting for polkit some time, perhaps for the start of before by now.
    says_what_is_wrong(testbed, "bob", &["start", &stopped.name])?;
    testbed.run_ok("root", &["systemctl", "kill", "-s", "CONT", "polkit"])?;
    // Now systemd starts what was asked for long ago; it is stopped, since nobody waits for it.
    let unit = stopped.unit();
    testbed.journal_until(
        &cursor,
        &["FORAGE_EVENT=late-start"],
        Duration::from_secs(20),
        |entry| {
            entry["MESSAGE"]
                .as_str()
                .is_some_and(|text| text.contains(&unit))
        },
    )?;
    wait_for("nothing that runs", Duration::from_secs(20), || {
        let units =
            "systemctl list-units --all --plain --no-legend 'forage-sandbox@*' 'forage-remove@*'";
        Ok(testbed
            .sh("root", units)?
            .stdout
            .trim()
            .is_empty()
            .then_some(()))
    })?;
    // How far it had got when it was stopped decides what its state is called.
    wait_for("a sandbox at rest", Duration::from_secs(20), || {
        let state = stopped.field("state")?;
        Ok(["stopped", "failed"]
            .contains(&state.as_str())
            .then_some(()))
    })?;
    let left = testbed.run_ok(
        "root",
        &["sh", "-c", "ls /run/firefly-forage/secrets /run/firefly-forage/shim | grep -v :; ls /run/firefly-forage/result; ls /var/lib/firefly-forage/sandboxes"],
    )?;
    for line in left.lines().filter(|line| !line.is_empty()) {
        ensure!(
            line.starts_with(&running.id) || line.starts_with(&stopped.id),
            "left behind: {left}"
        );
    }
    ctl_ok(testbed, "bob", &["start", &stopped.name])?;
    ensure!(stopped.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}
