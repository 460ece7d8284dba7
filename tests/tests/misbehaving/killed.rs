//! Parts that are killed, at any step: nothing is lost, and a second try works.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{DAEMON, Sandbox, alone, ctl, ctl_ok, daemon};

const RECORDS: &str = "/var/lib/firefly-forage/sandboxes";

fn state_becomes(sandbox: &Sandbox, expected: &str) -> Result<()> {
    wait_for(
        &format!("state {expected}"),
        Duration::from_secs(20),
        || Ok((sandbox.field("state")? == expected).then_some(())),
    )
}

#[test]
fn a_killed_shim_or_nspawn_leaves_a_failed_sandbox_that_starts_again() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "killed", "claude-key", &[])?;
    for victim in ["forage-shim", "systemd-nspawn"] {
        let pid = testbed.main_pid(&sandbox.unit())?;
        let pid = if victim == "forage-shim" {
            pid
        } else {
            testbed
                .run_ok(
                    "root",
                    &["pgrep", "-x", "-P", &pid.to_string(), "systemd-nspawn"],
                )?
                .trim()
                .parse()?
        };
        testbed.kill(pid, "KILL")?;
        state_becomes(&sandbox, "failed")?;
        let failure = sandbox.field("failure")?;
        ensure!(failure.contains("kill"), "{victim}: {failure:?}");
        let secrets = testbed.run_ok("root", &["ls", "/run/firefly-forage/secrets"])?;
        ensure!(
            !secrets.contains(&sandbox.id),
            "secrets were left: {secrets}"
        );
        ctl_ok(testbed, "bob", &["start", "killed"])?;
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    }
    Ok(())
}

#[test]
fn a_daemon_that_was_away_learns_what_happened() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "away", "claude-key", &[])?;
    daemon(testbed, "stop")?;
    testbed.run_ok("root", &["systemctl", "stop", &sandbox.unit()])?;
    // The next call activates the daemon.
    ensure!(
        sandbox.field("state")? == "stopped",
        "{}",
        sandbox.status()?
    );
    ctl_ok(testbed, "bob", &["start", "away"])?;
    Ok(())
}

/// Kills the daemon at the N-th of these system calls while `operation` runs, for every N until
/// it is not killed any more; `check` looks at what is there after each restart.
pub(super) fn sweep(
    testbed: &Testbed,
    calls: &str,
    operation: &dyn Fn() -> Result<()>,
    check: &dyn Fn(u32) -> Result<()>,
) -> Result<u32> {
    for n in 1..200 {
        let pid = testbed.main_pid(DAEMON)?.to_string();
        let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
        let mut strace = testbed
            .command(
                "root",
                &[
                    "strace",
                    "-f",
                    "-q",
                    "-o",
                    "/tmp/strace.out",
                    "-e",
                    &format!("trace={calls}"),
                    "-e",
                    &inject,
                    "-p",
                    &pid,
                ],
            )
            .stdin(std::process::Stdio::null())
            .spawn()?;
        // Every thread: the one that writes is among the last.
        let tracer =
            format!("! grep -L '^TracerPid:[^0-9]*[1-9]' /proc/{pid}/task/*/status | grep -q .");
        wait_for("strace", Duration::from_secs(10), || {
            Ok(testbed.sh("root", &tracer)?.ok().then_some(()))
        })?;
        operation().with_context(|| format!("at call {n}"))?;
        // It ends by itself when what it traces has ended.
        testbed.run("root", &["pkill", "-INT", "-x", "strace"])?;
        strace.wait()?;
        // What was killed may take a moment to be gone; strace has seen it.
        let trace = testbed.run_ok("root", &["cat", "/tmp/strace.out"])?;
        let same = testbed
            .main_pid(DAEMON)
            .is_ok_and(|now| now.to_string() == pid);
        let alive = same && !trace.contains("killed by SIGKILL");
        if !alive {
            daemon(testbed, "start")?;
        }
        check(n).with_context(|| format!("after a kill at call {n}"))?;
        if alive {
            return Ok(n);
        }
    }
    anyhow::bail!("the operation never completed")
}

pub(super) const DURABLE: &str =
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";

#[test]
fn killed_at_any_step_of_token_store_the_old_or_the_new_token_is_there() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let (old, new) = (crate::support::token('o'), crate::support::token('n'));
    let file = "/var/lib/firefly-forage/tokens/1001/claude-oauth.json";
    ensure!(crate::support::store(testbed, "bob", &old)?.ok());
    let said_ok = std::cell::Cell::new(false);
    let steps = sweep(
        testbed,
        DURABLE,
        &|| {
            said_ok.set(crate::support::store(testbed, "bob", &new)?.ok());
            Ok(())
        },
        &|_| {
            let json: serde_json::Value =
                serde_json::from_str(&testbed.run_ok("root", &["cat", file])?)?;
            let kept = json["token"].as_str().unwrap_or_default();
            ensure!(
                kept == new || (kept == old && !said_ok.get()),
                "neither token is there"
            );
            let names =
                testbed.run_ok("root", &["ls", "-A", "/var/lib/firefly-forage/tokens/1001"])?;
            ensure!(names.trim() == "claude-oauth.json", "left behind: {names}");
            ensure!(
                crate::support::store(testbed, "bob", &old)?.ok(),
                "a second try failed"
            );
            Ok(())
        },
    )?;
    ensure!(steps > 3, "only {steps} steps: was the daemon traced?");
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    Ok(())
}

#[test]
fn killed_at_any_step_of_up_and_down_nothing_is_lost() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let settled = || {
        wait_for("a settled sandbox", Duration::from_secs(60), || {
            let list = ctl_ok(testbed, "bob", &["ps", "--json"])?;
            let moving = ["starting", "stopping", "removing"]
                .iter()
                .any(|state| list.contains(&format!("\"{state}\"")));
            Ok((!moving).then_some(list))
        })
    };
    let gone = || -> Result<()> {
        let list = settled()?;
        if list.contains("\"sweep\"") {
            ctl_ok(testbed, "bob", &["down", "sweep"])?;
        }
        let left = testbed.run_ok("root", &["sh", "-c", &format!("ls {RECORDS}; ls /run/firefly-forage/secrets /run/firefly-forage/shim /var/lib/firefly-forage/workspaces | grep -v :; systemctl list-units --no-legend --plain 'forage-sandbox@*'")])?;
        ensure!(left.trim().is_empty(), "left behind: {left}");
        Ok(())
    };
    gone()?;
    let ups = sweep(
        testbed,
        DURABLE,
        &|| ctl(testbed, "bob", &["up", "sweep", "-t", "claude-key"]).map(drop),
        &|_| {
            // Either it is there and works, or it is not and a second try makes it.
            let list = settled()?;
            if !list.contains("\"sweep\"") {
                ctl_ok(testbed, "bob", &["up", "sweep", "-t", "claude-key"])?;
            }
            ctl_ok(testbed, "bob", &["exec", "sweep", "--", "true"]).context(list)?;
            gone()
        },
    )?;
    ctl_ok(testbed, "bob", &["up", "sweep", "-t", "claude-key"])?;
    let downs = sweep(
        testbed,
        DURABLE,
        &|| ctl(testbed, "bob", &["down", "sweep"]).map(drop),
        &|_| {
            gone()?;
            ctl_ok(testbed, "bob", &["up", "sweep", "-t", "claude-key"]).map(drop)
        },
    )?;
    gone()?;
    ensure!(
        ups > 3 && downs > 3,
        "{ups} and {downs} steps: was the daemon traced?"
    );
    Ok(())
}
