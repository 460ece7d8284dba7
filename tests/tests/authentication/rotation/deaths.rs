//! Deaths in the middle of rotations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::{CREDENTIALS, USER, forget, shell, stored, tokens};
use crate::support::{DAEMON, Sandbox, alone, ctl_ok, daemon};

/// How often the daemon dies.
const DEATHS: usize = 5;

/// Stores while `meanwhile` runs, and tells how many stores were done.
fn while_storing(testbed: &Testbed, meanwhile: impl FnOnce() -> Result<()>) -> Result<usize> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let storing = scope.spawn(|| -> Result<usize> {
            let mut done = 0;
            for letter in ('a'..='y').cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // A daemon that has just died does not answer; what it said it did has to hold.
                let said = shell(
                    testbed,
                    &format!("store {letter} 2>/dev/null && echo ok || true"),
                )?;
                if said.trim() == "ok" {
                    done += 1;
                }
            }
            Ok(done)
        });
        let met = meanwhile();
        over.store(true, Ordering::Relaxed);
        let done = storing
            .join()
            .map_err(|_| anyhow!("the stores broke off"))??;
        met.map(|()| done)
    })
}

#[test]
fn a_daemon_that_dies_in_rotations_makes_up_for_it() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let names = [("dies1", "claude"), ("dies2", "claude"), ("dies3", "live")];
    let sandboxes = names.map(|(name, template)| Sandbox::up(testbed, USER, name, template, &[]));
    let sandboxes = sandboxes.into_iter().collect::<Result<Vec<_>>>()?;
    for death in 0..DEATHS {
        while_storing(testbed, || {
            // A store is under way when the sandbox has seen one more than before.
            let before = sandboxes[0].generation()?;
            wait_for("a rotation", Duration::from_secs(20), || {
                Ok((sandboxes[0].generation()? > before).then_some(()))
            })?;
            testbed.kill_unit(DAEMON)
        })?;
        daemon(testbed, "start")?;
        for sandbox in &sandboxes {
            let met = sandbox.converges(testbed);
            met.map_err(|error| error.context(format!("death {death}, {}", sandbox.name)))?;
        }
    }
    forget(testbed)
}

#[test]
fn a_store_that_was_done_outlives_the_daemon() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let sandbox = Sandbox::up(testbed, USER, "outlives", "claude", &[])?;
    for letter in ['b', 'c', 'd'] {
        shell(testbed, &format!("store {letter}"))?;
        testbed.kill_unit(DAEMON)?;
        let file = format!(
            "/run/firefly-forage/secrets/{}/claude-oauth-token",
            sandbox.id
        );
        let seen = super::letter(&testbed.run_ok("root", &["cat", &file])?)?;
        ensure!(seen == letter, "{seen}, not {letter}");
        daemon(testbed, "start")?;
        ensure!(stored(testbed, USER)? == letter);
    }
    forget(testbed)
}

#[test]
fn a_revocation_that_was_done_outlives_the_daemon() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let sandbox = Sandbox::up(testbed, USER, "outlived", "live", &[])?;
    ctl_ok(testbed, USER, &["auth", "revoke", "outlived"])?;
    testbed.kill_unit(DAEMON)?;
    daemon(testbed, "start")?;
    shell(testbed, "store b")?;
    ensure!(sandbox.exec(&["test", "-e", CREDENTIALS])?.code() == 1);
    for verb in ["stop", "start"] {
        ctl_ok(testbed, USER, &[verb, "outlived"])?;
    }
    ensure!(sandbox.exec(&["test", "-e", CREDENTIALS])?.code() == 1);
    ctl_ok(testbed, USER, &["auth", "refresh", "outlived"])?;
    ensure!(sandbox.letter()? == 'b');
    forget(testbed)
}

#[test]
fn a_shim_that_dies_in_rotations_leaves_the_others_alone() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let stays = Sandbox::up(testbed, USER, "stays", "claude", &[])?;
    let dies = Sandbox::up(testbed, USER, "dies", "claude", &[])?;
    for _ in 0..2 {
        let done = while_storing(testbed, || {
            testbed.kill_unit(&dies.unit())?;
            wait_for("its end", Duration::from_secs(20), || {
                Ok((dies.field("state")? == "failed").then_some(()))
            })
        })?;
        ensure!(done > 0, "nothing was stored meanwhile");
        stays.converges(testbed)?;
        let secrets = format!("/run/firefly-forage/secrets/{}", dies.id);
        ensure!(!testbed.run("root", &["test", "-e", &secrets])?.ok());
        ctl_ok(testbed, USER, &["start", "dies"])?;
        ensure!(dies.letter()? == stored(testbed, USER)?);
    }
    forget(testbed)
}
