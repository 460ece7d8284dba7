//! The disk is full, or read-only; the memory of the secrets is full.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Outcome, Testbed, wait_for};

use crate::support::{
    DAEMON, SECRET, Sandbox, SecretFile, Undo, alone, ctl, ctl_ok, daemon, store, token,
};

const STATE: &str = "/var/lib/firefly-forage";
const RECORDS: &str = "/var/lib/firefly-forage/sandboxes";

#[test]
fn a_full_state_directory_is_said_and_survived() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    daemon(testbed, "stop")?;
    for directory in [RECORDS, "/var/lib/firefly-forage/tokens"] {
        testbed.run_ok(
            "root",
            &[
                "mount",
                "-t",
                "tmpfs",
                "-o",
                "size=8k,nr_inodes=4,mode=0700",
                "tmpfs",
                directory,
            ],
        )?;
        testbed.run_ok("root", &["chown", "foraged:foraged", directory])?;
    }
    daemon(testbed, "start")?;
    testbed.run_ok("root", &["sh", "-c", &format!("cd {RECORDS}; head -c 8192 /dev/zero > fill; cd ../tokens; head -c 8192 /dev/zero > fill")])?;
    let up = ctl(testbed, "bob", &["up", "full", "-t", "claude-key"])?;
    let list = ctl(testbed, "bob", &["ps"])?;
    let stored = store(testbed, "bob", &token('z'))?;
    let left = testbed.run_ok(
        "root",
        &[
            "find",
            RECORDS,
            "/var/lib/firefly-forage/tokens",
            "-type",
            "f",
            "!",
            "-name",
            "fill",
            "!",
            "-name",
            ".lock",
        ],
    )?;
    testbed.run_ok("root", &["rm", &format!("{RECORDS}/fill")])?;
    let again = ctl(testbed, "bob", &["up", "full", "-t", "claude-key"])?;
    let down = ctl(testbed, "bob", &["down", "full"])?;
    daemon(testbed, "stop")?;
    testbed.run_ok(
        "root",
        &["umount", RECORDS, "/var/lib/firefly-forage/tokens"],
    )?;
    daemon(testbed, "start")?;
    ensure!(
        up.code() == 1 && up.stderr.contains("No space left"),
        "{}",
        up.text()
    );
    ensure!(
        list.ok() && !list.stdout.contains("full"),
        "{}",
        list.text()
    );
    ensure!(
        stored.code() == 1 && stored.stderr.contains("No space left"),
        "{}",
        stored.text()
    );
    ensure!(left.is_empty(), "left behind: {left}");
    ensure!(again.ok() && down.ok(), "{}{}", again.text(), down.text());
    Ok(())
}

/// The state on a file system of its own, which can be made read-only for everybody at once.
fn state_of_its_own(testbed: &'static Testbed) -> Result<Undo> {
    daemon(testbed, "stop")?;
    let back = Undo::new(
        testbed,
        format!(
            "mount -o remount,rw {STATE}; systemctl stop {DAEMON}; umount {STATE}; \
             systemctl reset-failed {DAEMON}; systemctl start {DAEMON}"
        ),
    );
    let line = format!(
        "mount -t tmpfs -o mode=0711 tmpfs {STATE} && systemd-tmpfiles --create firefly-forage.conf"
    );
    testbed.run_ok("root", &["sh", "-c", &line])?;
    daemon(testbed, "start")?;
    Ok(back)
}

fn is_read_only(outcome: &Outcome) -> Result<()> {
    let text = outcome.text();
    ensure!(outcome.code() == 1, "{text}");
    ensure!(
        text.contains("ead-only file system") && text.contains(STATE) && text.contains("hint:"),
        "{text}"
    );
    Ok(())
}

#[test]
fn with_a_read_only_disk_what_runs_goes_on_and_nothing_is_lost() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _back = state_of_its_own(testbed)?;
    ensure!(store(testbed, "bob", &token('r'))?.ok());
    let runs = Sandbox::up(testbed, "bob", "ro-runs", "claude", &[])?;
    let rests = Sandbox::up(testbed, "bob", "ro-rests", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", "ro-rests"])?;
    let printenv = ["printenv", "CLAUDE_CODE_OAUTH_TOKEN"];
    let mut letter = 'r';
    for (restart, next) in [(false, 's'), (true, 't')] {
        testbed.run_ok("root", &["mount", "-o", "remount,ro", STATE])?;
        if restart {
            daemon(testbed, "restart")?;
        }
        while_read_only(testbed, &runs, &rests)?;
        testbed.run_ok("root", &["mount", "-o", "remount,rw", STATE])?;
        if restart {
            // Its own mount namespace was made of read-only mounts, as the hint says.
            daemon(testbed, "restart")?;
        }
        ensure!(
            runs.exec_ok(&printenv)? == token(letter),
            "a token was lost"
        );
        letter = next;
        ensure!(store(testbed, "bob", &token(letter))?.ok());
        ensure!(runs.exec_ok(&printenv)? == token(letter));
        Sandbox::up(testbed, "bob", "ro-new", "claude-key", &[])?.down()?;
    }
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    rests.down()?;
    runs.down()?;
    Ok(())
}

fn while_read_only(testbed: &Testbed, runs: &Sandbox, rests: &Sandbox) -> Result<()> {
    ensure!(runs.exec_ok(&["id", "-un"])? == "agent");
    ensure!(runs.field("state")? == "running");
    ensure!(ctl_ok(testbed, "bob", &["ps"])?.contains("ro-rests"));
    ctl_ok(testbed, "bob", &["claude", "token", "status"])?;
    is_read_only(&ctl(testbed, "bob", &["up", "ro-new", "-t", "claude-key"])?)?;
    ensure!(ctl(testbed, "bob", &["status", "ro-new"])?.code() == 3);
    is_read_only(&ctl(testbed, "bob", &["down", "ro-rests"])?)?;
    is_read_only(&store(testbed, "bob", &token('n'))?)?;
    is_read_only(&ctl(testbed, "bob", &["claude", "token", "remove"])?)?;
    // What needs nothing written works: the workspace is there, though nobody can write to it.
    ctl_ok(testbed, "bob", &["start", "ro-rests"])?;
    ensure!(rests.exec_ok(&["pwd"])? == "/workspace");
    ctl_ok(testbed, "bob", &["stop", "ro-rests"])?;
    Ok(())
}

/// Fills the memory of the secrets until not a byte is left, and tells how to empty it again.
fn fill_secrets(testbed: &'static Testbed) -> Result<Undo> {
    let undo = Undo::new(testbed, "rm -f /run/firefly-forage/secrets/fill");
    testbed.sh("root", "cat /dev/zero > /run/firefly-forage/secrets/fill")?;
    Ok(undo)
}

#[test]
fn with_full_secrets_old_values_stay_and_new_ones_come_by_themselves() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    ensure!(store(testbed, "bob", &token('o'))?.ok());
    let keyed = Sandbox::up(testbed, "bob", "full-key", "claude-key", &[])?;
    let token_of = Sandbox::up(testbed, "bob", "full-token", "claude", &[])?;
    let filled = fill_secrets(testbed)?;
    let before = testbed.inventory()?;
    let up = ctl(testbed, "bob", &["up", "full-new", "-t", "claude-key"])?;
    let text = up.text();
    ensure!(up.code() != 0 && text.contains("no space left"), "{text}");
    ensure!(text.contains("hint:"), "{text}");
    let failed = Sandbox::adopt(testbed, "bob", "full-new")?;
    ensure!(failed.field("state")? == "failed", "{}", failed.status()?);
    let left = testbed.inventory()?.since(&before);
    ensure!(
        !left.lines().any(|line| line.starts_with("secret")),
        "left: {left}"
    );
    // Changes do not arrive, and what was delivered stays whole.
    let new = "sk-ant-api03-a-newer-secret";
    testbed.write_file(SECRET, "root", "0400", new.as_bytes())?;
    let stored = store(testbed, "bob", &token('n'))?;
    ensure!(stored.ok(), "it was not stored: {}", stored.text());
    let stale = |sandbox: &Sandbox| -> Result<bool> {
        let status = sandbox.status()?;
        Ok(status["credentials"][0]["stale"].is_string())
    };
    for sandbox in [&keyed, &token_of] {
        wait_for("staleness that is told", Duration::from_secs(20), || {
            Ok(stale(sandbox)?.then_some(()))
        })?;
        let names = format!("ls -A /run/firefly-forage/secrets/{}", sandbox.id);
        let names = testbed.run_ok("root", &["sh", "-c", &names])?;
        ensure!(
            names.lines().count() == 1 && !names.contains("new"),
            "{names}"
        );
    }
    ensure!(keyed.exec_ok(&["printenv", "ANTHROPIC_API_KEY"])? == file.original.trim_end());
    ensure!(token_of.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])? == token('o'));
    drop(filled);
    for (sandbox, variable, value) in [
        (&keyed, "ANTHROPIC_API_KEY", new.to_owned()),
        (&token_of, "CLAUDE_CODE_OAUTH_TOKEN", token('n')),
    ] {
        wait_for("the new value", Duration::from_secs(30), || {
            let there = sandbox.exec_ok(&["printenv", variable])? == value;
            Ok((there && !stale(sandbox)?).then_some(()))
        })?;
    }
    // Taking a token away needs no room.
    let filled = fill_secrets(testbed)?;
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    ensure!(
        !token_of
            .exec(&["test", "-e", "/run/secrets/claude-oauth-token"])?
            .ok()
    );
    drop(filled);
    ctl_ok(testbed, "bob", &["start", "full-new"])?;
    ensure!(failed.exec_ok(&["printenv", "ANTHROPIC_API_KEY"])? == new);
    Ok(())
}
