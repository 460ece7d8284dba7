//! Every write of the daemon and of the shim fails, with a full disk and with a broken one: the
//! operation says so or really succeeds, nothing is lost or left, and a second try works.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Outcome, Testbed, wait_for};

use super::inject::{TracedShims, attached, disk_thread, each_point};
use super::leftovers::but_logs;
use crate::support::{
    DAEMON, SECRET, Sandbox, SecretFile, alone, ctl, ctl_ok, daemon, store, token,
};

const RECORDS: &str = "/var/lib/firefly-forage/sandboxes";

/// An operation that failed says why.
fn says_why(outcome: &Outcome) -> Result<()> {
    let text = outcome.text();
    ensure!(
        outcome.ok() || text.contains("error:"),
        "{}: {text}",
        outcome.code()
    );
    ensure!(
        [0, 1, 4, 8].contains(&outcome.code()),
        "{}: {text}",
        outcome.code()
    );
    Ok(())
}

/// What lies aside because it could not be deleted goes when the daemon starts.
fn no_file_but(testbed: &Testbed, directory: &str, expected: &str) -> Result<()> {
    let names = || {
        testbed.run_ok(
            "root",
            &[
                "sh",
                "-c",
                &format!("ls -A {directory} | grep -v lock; true"),
            ],
        )
    };
    if names()?.trim() != expected {
        daemon(testbed, "restart")?;
    }
    let names = names()?;
    ensure!(names.trim() == expected, "there is {names}");
    Ok(())
}

fn record_is(testbed: &Testbed, id: &str, phase: &str) -> Result<()> {
    let record = testbed.run_ok("root", &["sh", "-c", &format!("cat {RECORDS}/{id}.*.json")])?;
    ensure!(record.contains(&format!("\"{phase}\"")), "{record}");
    Ok(())
}

#[test]
fn token_store_keeps_the_old_token_or_has_the_new_one() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let (old, new) = (token('o'), token('n'));
    let directory = "/var/lib/firefly-forage/tokens/1001";
    ensure!(store(testbed, "bob", &old)?.ok());
    let said_ok = Cell::new(false);
    let points = each_point(
        &|fault| {
            ensure!(store(testbed, "bob", &old)?.ok(), "a second try failed");
            let thread = disk_thread(testbed, testbed.main_pid(DAEMON)?)?;
            attached(testbed, &thread, fault, || {
                let outcome = store(testbed, "bob", &new)?;
                said_ok.set(outcome.ok());
                says_why(&outcome)
            })
        },
        &|_| {
            let file =
                testbed.run_ok("root", &["cat", &format!("{directory}/claude-oauth.json")])?;
            let json: serde_json::Value = serde_json::from_str(&file)?;
            let expected = if said_ok.get() { &new } else { &old };
            ensure!(json["token"] == expected.as_str(), "another token is there");
            no_file_but(testbed, directory, "claude-oauth.json")
        },
    )?;
    ensure!(points > 4, "{points} points");
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    Ok(())
}

#[test]
fn up_and_down_of_the_daemon_leave_a_sandbox_or_none() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let gone = || -> Result<()> {
        if ctl(testbed, "bob", &["status", "faulty"])?.code() != 3 {
            ctl_ok(testbed, "bob", &["down", "faulty"])?;
        }
        no_file_but(testbed, RECORDS, "")?;
        let left = testbed.run_ok("root", &["sh", "-c", "ls /run/firefly-forage/secrets /run/firefly-forage/shim /run/firefly-forage/result /var/lib/firefly-forage/workspaces | grep -v :; systemctl list-units --no-legend --plain 'forage-sandbox@*'"])?;
        ensure!(left.trim().is_empty(), "left behind: {left}");
        Ok(())
    };
    gone()?;
    let up = ["up", "faulty", "-t", "claude-key"];
    let ups = each_point(
        &|fault| {
            let thread = disk_thread(testbed, testbed.main_pid(DAEMON)?)?;
            let mut worked = false;
            let trace = attached(testbed, &thread, fault, || {
                let outcome = ctl(testbed, "bob", &up)?;
                worked = outcome.ok();
                says_why(&outcome)
            })?;
            if worked {
                let sandbox = Sandbox::adopt(testbed, "bob", "faulty")?;
                record_is(testbed, &sandbox.id, "created")?;
                ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
                sandbox.down()?;
            }
            Ok(trace)
        },
        &|_| gone(),
    )?;
    let downs = each_point(
        &|fault| {
            ctl_ok(testbed, "bob", &up)?;
            let thread = disk_thread(testbed, testbed.main_pid(DAEMON)?)?;
            attached(testbed, &thread, fault, || {
                let outcome = ctl(testbed, "bob", &["down", "faulty"])?;
                says_why(&outcome)?;
                let status = ctl(testbed, "bob", &["status", "faulty"])?;
                ensure!((status.code() == 3) == outcome.ok(), "{}", status.text());
                Ok(())
            })
        },
        &|_| gone(),
    )?;
    ensure!(ups > 8 && downs > 6, "{ups} and {downs} points");
    Ok(())
}

#[test]
fn runs_and_clean_ups_of_the_shim_fail_cleanly() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "faulty", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", "faulty"])?;
    let key = testbed.run_ok("root", &["cat", SECRET])?;
    let clean = || -> Result<()> {
        let state = sandbox.field("state")?;
        ensure!(["stopped", "failed"].contains(&state.as_str()), "{state}");
        record_is(testbed, &sandbox.id, "created")
    };
    for verb in ["run", "cleanup"] {
        let shims = TracedShims::begin(testbed, verb)?;
        let before = testbed.inventory()?;
        let points = each_point(
            &|fault| {
                shims.set(fault)?;
                let start = ctl(testbed, "bob", &["start", "faulty"])?;
                says_why(&start)?;
                if start.ok() {
                    ensure!(sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])? == key.trim_end());
                    says_why(&ctl(testbed, "bob", &["stop", "faulty"])?)?;
                }
                shims.trace()
            },
            &|_| {
                clean()?;
                if but_logs(&testbed.inventory()?.since(&before)).is_empty() {
                    return Ok(());
                }
                // What could not be removed is removed by the next run.
                shims.set(None)?;
                ctl_ok(testbed, "bob", &["start", "faulty"])?;
                ctl_ok(testbed, "bob", &["stop", "faulty"])?;
                shims.trace()?;
                let left = but_logs(&testbed.inventory()?.since(&before));
                ensure!(left.is_empty(), "left behind: {left}");
                Ok(())
            },
        )?;
        ensure!(points > 4, "{verb}: {points} points");
    }
    ctl_ok(testbed, "bob", &["start", "faulty"])?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    sandbox.down()?;
    Ok(())
}

#[test]
fn removals_of_the_shim_fail_cleanly() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let up = ["up", "faulty", "-t", "claude-key"];
    // What the first sandbox of a host makes for good is there.
    ctl_ok(testbed, "bob", &up)?;
    ctl_ok(testbed, "bob", &["down", "faulty"])?;
    let before = testbed.inventory()?;
    let shims = TracedShims::begin(testbed, "remove")?;
    let points = each_point(
        &|fault| {
            shims.set(fault)?;
            ctl_ok(testbed, "bob", &up)?;
            let outcome = ctl(testbed, "bob", &["down", "faulty"])?;
            says_why(&outcome)?;
            let status = ctl(testbed, "bob", &["status", "faulty"])?;
            ensure!((status.code() == 3) == outcome.ok(), "{}", status.text());
            shims.trace()
        },
        &|_| {
            shims.set(None)?;
            if ctl(testbed, "bob", &["status", "faulty"])?.code() != 3 {
                ctl_ok(testbed, "bob", &["down", "faulty"])?;
            }
            Ok(())
        },
    )?;
    ensure!(points > 2, "{points} points");
    drop(shims);
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

#[test]
fn a_rotation_that_cannot_be_written_is_told_and_made_up_for() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _file = SecretFile::borrow(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "faulty", "claude-key", &[])?;
    let shim = testbed.main_pid(&sandbox.unit())?.to_string();
    let number = Cell::new(0);
    let current = std::cell::RefCell::new(sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])?);
    let put = |fail: bool| -> Result<()> {
        let old = current.borrow().clone();
        number.set(number.get() + 1);
        let new = format!("sk-ant-api03-rotated-{}", number.get());
        // Renamed, it is one change: written in place, it is as many as chance has it.
        let fresh = "/var/tmp/forage-secret";
        testbed.write_file(fresh, "root", "0400", new.as_bytes())?;
        testbed.run_ok("root", &["mv", "-T", fresh, SECRET])?;
        wait_for("what came of it", Duration::from_secs(10), || {
            let value = sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])?;
            ensure!(value == old || value == new, "half a value: {value}");
            let stale = sandbox.status()?["credentials"][0]["stale"].is_string();
            Ok((value == new && !stale || fail && stale).then_some(()))
        })?;
        *current.borrow_mut() = sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])?;
        Ok(())
    };
    let points = each_point(
        &|fault| {
            let trace = attached(testbed, &shim, fault, || put(fault.is_some()))?;
            Ok(trace)
        },
        // The next change brings what is missing; so would time.
        &|_| {
            put(false)?;
            let names = format!("/run/firefly-forage/secrets/{}", sandbox.id);
            ensure!(testbed.run_ok("root", &["ls", "-A", &names])?.trim() == "anthropic");
            Ok(())
        },
    )?;
    ensure!(points > 2, "{points} points");
    Ok(())
}
