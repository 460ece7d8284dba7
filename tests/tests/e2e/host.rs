//! The testbed itself: what every other test here relies on.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

#[test]
fn the_host_is_up() -> Result<()> {
    let testbed = Testbed::shared()?;
    let state = testbed.run("root", &["systemctl", "is-system-running"])?;
    let failed = testbed.run_ok("root", &["systemctl", "--failed", "--no-legend", "--plain"])?;
    ensure!(state.stdout.trim() == "running", "{}{failed}", state.text());
    Ok(())
}

#[test]
fn members_and_strangers_are_there() -> Result<()> {
    let testbed = Testbed::shared()?;
    for (user, uid, member) in [
        ("alice", 1000, true),
        ("bob", 1001, true),
        ("mallory", 1002, false),
    ] {
        let seen = testbed.run_ok(user, &["id", "-u"])?;
        ensure!(seen.trim() == uid.to_string(), "{user} has uid {seen}");
        let groups = testbed.run_ok(user, &["id", "-nG"])?;
        let found = groups.split_whitespace().any(|group| group == "forage");
        ensure!(found == member, "{user} is in {groups}");
    }
    Ok(())
}

#[test]
fn polkit_and_machined_answer() -> Result<()> {
    let testbed = Testbed::shared()?;
    testbed.run_ok("root", &["systemctl", "start", "polkit.service"])?;
    testbed.run_ok("root", &["machinectl", "list", "--no-legend"])?;
    Ok(())
}

#[test]
fn the_daemon_is_installed() -> Result<()> {
    let testbed = Testbed::shared()?;
    let enabled = testbed.run_ok(
        "root",
        &["systemctl", "is-enabled", "firefly-forage.service"],
    )?;
    ensure!(enabled.trim() == "enabled", "{enabled}");
    testbed.run_ok("alice", &["test", "-x", "/usr/bin/forage-ctl"])?;
    testbed.run_ok("root", &["test", "-x", "/usr/libexec/forage-shim"])?;
    Ok(())
}

#[test]
fn commands_keep_their_streams_and_codes() -> Result<()> {
    let testbed = Testbed::shared()?;
    let outcome = testbed.run_with_input("alice", &["sh", "-c", "cat; pwd >&2; exit 7"], b"in")?;
    ensure!(outcome.code() == 7 && outcome.stdout == "in", "{outcome:?}");
    ensure!(outcome.stderr.trim() == "/home/alice", "{outcome:?}");
    Ok(())
}
