//! The testbed itself: what every other test here relies on.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::alone;

#[test]
fn the_host_is_up() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
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

#[test]
fn the_journal_can_be_followed() -> Result<()> {
    let testbed = Testbed::shared()?;
    let cursor = testbed.journal_cursor()?;
    testbed.run_ok("root", &["logger", "--tag", "follow-me", "a line"])?;
    let tag = ["SYSLOG_IDENTIFIER=follow-me"];
    let seconds = Duration::from_secs(10);
    let entry = testbed.journal_until(&cursor, &tag, seconds, |entry| entry["MESSAGE"] == "a line");
    entry.map(drop)
}

#[test]
fn the_inventory_shows_what_was_added() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let before = testbed.inventory()?;
    let unit = "forage-inventory.service";
    testbed.run_ok(
        "root",
        &["systemd-run", "--quiet", "--unit", unit, "sleep", "1000"],
    )?;
    let added = testbed.inventory()?.since(&before);
    let shown = added
        .lines()
        .any(|line| line == "unit forage-inventory.service active");
    ensure!(shown, "{added}");
    testbed.run_ok("root", &["systemctl", "stop", unit])?;
    let left = testbed.inventory()?.since(&before);
    ensure!(
        !left.lines().any(|line| line.contains("forage-inventory")),
        "{left}"
    );
    Ok(())
}

#[test]
fn files_are_written_with_owner_and_mode() -> Result<()> {
    let testbed = Testbed::shared()?;
    for (path, content) in [("/home/alice/written", "text"), ("/home/alice/empty", "")] {
        testbed.write_file(path, "alice", "0640", content.as_bytes())?;
        let seen = testbed.run_ok("alice", &["stat", "-c", "%a %U %G %s", path])?;
        ensure!(
            seen.trim() == format!("640 alice alice {}", content.len()),
            "{path}: {seen}"
        );
    }
    Ok(())
}
