//! Revocations at which every write fails, of the daemon and of the shim, and at each step of which the
//! daemon is killed: what was said holds, and what is there in the end is what the record says.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::inject::{attached, disk_thread, each_point};
use super::killed::{DURABLE, sweep};
use crate::support::{DAEMON, Sandbox, alone, ctl, ctl_ok, daemon};

/// A sandbox with a secret, running.
fn sandbox(testbed: &'static Testbed) -> Result<Sandbox> {
    Sandbox::up(testbed, "bob", "revoking", "claude-key", &[])
}

/// Whether its credential is there.
fn has(testbed: &Testbed, sandbox: &Sandbox) -> Result<bool> {
    let file = format!("/run/firefly-forage/secrets/{}/anthropic", sandbox.id);
    Ok(testbed.run("root", &["test", "-e", &file])?.ok())
}

/// Whether its record says that it is revoked.
fn recorded(testbed: &Testbed, sandbox: &Sandbox) -> Result<bool> {
    let line = format!(
        "cat /var/lib/firefly-forage/sandboxes/{}.*.json",
        sandbox.id
    );
    let record = testbed.run_ok("root", &["sh", "-c", &line])?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    Ok(record["revokedAt"].is_string())
}

/// What the sandbox has comes to be what its record says.
fn converges(testbed: &Testbed, sandbox: &Sandbox) -> Result<()> {
    wait_for("what the record says", Duration::from_secs(20), || {
        let revoked = recorded(testbed, sandbox)?;
        let status = sandbox.status()?;
        let known = status["revokedAt"].is_string() == revoked;
        let there = has(testbed, sandbox)? != revoked;
        let told = status["credentials"][0]["revoked"] == revoked;
        Ok((known && there && told).then_some(()))
    })
}

#[test]
fn a_disk_that_fails_keeps_no_credential_in_a_sandbox() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = sandbox(testbed)?;
    let said_ok = Cell::new(false);
    let points = each_point(
        &|fault| {
            ctl_ok(testbed, "bob", &["auth", "refresh", "revoking"])?;
            let thread = disk_thread(testbed, testbed.main_pid(DAEMON)?)?;
            attached(testbed, &thread, fault, || {
                let outcome = ctl(testbed, "bob", &["auth", "revoke", "revoking"])?;
                said_ok.set(outcome.ok());
                let why = outcome.text().contains("will not hold");
                ensure!(outcome.ok() || why, "{}", outcome.text());
                ensure!(!has(testbed, &sandbox)?, "the credential is still there");
                Ok(())
            })
        },
        &|_| {
            ensure!(recorded(testbed, &sandbox)? || !said_ok.get());
            // What could not be written does not hold over a restart, and nothing else is lost.
            daemon(testbed, "restart")?;
            converges(testbed, &sandbox)
        },
    )?;
    ensure!(points > 3, "{points} points");
    Ok(())
}

#[test]
fn a_shim_that_cannot_take_it_away_is_told_again() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = sandbox(testbed)?;
    let shim = testbed.main_pid(&sandbox.unit())?.to_string();
    let points = each_point(
        &|fault| {
            ctl_ok(testbed, "bob", &["auth", "refresh", "revoking"])?;
            ensure!(has(testbed, &sandbox)?);
            attached(testbed, &shim, fault, || {
                let outcome = ctl(testbed, "bob", &["auth", "revoke", "revoking"])?;
                let gone = !has(testbed, &sandbox)?;
                ensure!(gone || !outcome.ok(), "{}", outcome.text());
                Ok(())
            })
        },
        &|_| {
            ensure!(recorded(testbed, &sandbox)?);
            converges(testbed, &sandbox)
        },
    )?;
    ensure!(points > 0, "{points} points");
    Ok(())
}

#[test]
fn killed_at_any_step_of_a_revocation_or_its_end_it_converges() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = sandbox(testbed)?;
    // What is on disk, and what is said to the shim and to the caller.
    let calls = format!("{DURABLE},sendmsg,sendto,recvmsg");
    for (verb, other) in [("revoke", "refresh"), ("refresh", "revoke")] {
        ctl_ok(testbed, "bob", &["auth", other, "revoking"])?;
        let said_ok = Cell::new(false);
        let steps = sweep(
            testbed,
            &calls,
            &|| {
                said_ok.set(ctl(testbed, "bob", &["auth", verb, "revoking"])?.ok());
                Ok(())
            },
            &|_| {
                let done = recorded(testbed, &sandbox)? == (verb == "revoke");
                ensure!(done || !said_ok.get(), "what was said does not hold");
                converges(testbed, &sandbox)?;
                ctl_ok(testbed, "bob", &["auth", other, "revoking"])?;
                Ok(())
            },
        )?;
        ensure!(steps > 3, "only {steps} steps: was the daemon traced?");
    }
    Ok(())
}
