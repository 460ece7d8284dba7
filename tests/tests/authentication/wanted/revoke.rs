//! Revoking: at once, over restarts of everything, until it is refreshed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;

use super::{USER, forget};
use crate::support::{DAEMON, Sandbox, alone, ctl, ctl_ok, daemon, store, token};

#[test]
fn what_is_revoked_stays_away_until_it_is_asked_for() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    forget(testbed)?;
    ensure!(store(testbed, USER, &token('r'))?.ok());
    let tokens = Sandbox::up(testbed, USER, "tokens", "claude", &[])?;
    let keys = Sandbox::up(testbed, USER, "keys", "claude-key", &[])?;
    let held = [tokens.given()?, keys.given()?].map(|one| one["fingerprint"].clone());

    // A command that was begun before goes on, without what it has not read yet.
    let line = "echo begun; read -r line; cat /run/secrets/claude-oauth-token; echo \"$?\"";
    let mut exec = testbed
        .command(
            USER,
            &["forage-ctl", "exec", "tokens", "--", "sh", "-c", line],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut output = BufReader::new(exec.stdout.take().context("no output")?).lines();
    let begun = output.next().context("no command")??;
    ensure!(begun == "begun", "{begun}");
    let cursor = testbed.journal_cursor()?;
    let revoked = ctl(testbed, USER, &["auth", "revoke", "--all"])?;
    ensure!(revoked.ok(), "{}", revoked.text());
    for (name, print) in ["tokens", "keys"].iter().zip(&held) {
        let print = print.as_str().context("no fingerprint")?;
        let said = revoked
            .stdout
            .lines()
            .any(|line| line.contains(name) && line.contains(print));
        ensure!(said, "{name} held {print}: {}", revoked.stdout);
    }
    exec.stdin.take().context("no input")?.write_all(b"go\n")?;
    let lines = output.collect::<std::io::Result<Vec<_>>>()?;
    ensure!(lines == ["1"], "it could still read: {lines:?}");
    exec.wait()?;

    let nothing = || -> Result<()> {
        tokens.holds(testbed, &[])?;
        keys.holds(testbed, &[])?;
        ensure!(tokens.token()?.is_empty());
        ensure!(!keys.exec(&["printenv", "ANTHROPIC_API_KEY"])?.ok());
        for sandbox in [&tokens, &keys] {
            let status = sandbox.status()?;
            ensure!(status["revokedAt"].is_string(), "{status}");
            ensure!(status["credentials"][0]["revoked"] == true, "{status}");
        }
        Ok(())
    };
    nothing()?;
    // Neither a new token, nor a new daemon, nor a new run brings anything back.
    ensure!(store(testbed, USER, &token('q'))?.ok());
    nothing()?;
    testbed.kill_unit(DAEMON)?;
    daemon(testbed, "start")?;
    nothing()?;
    ctl_ok(testbed, USER, &["stop", "tokens", "keys"])?;
    daemon(testbed, "restart")?;
    for name in ["tokens", "keys"] {
        let start = ctl(testbed, USER, &["start", name])?;
        ensure!(
            start.ok() && start.stderr.contains("auth refresh"),
            "{}",
            start.text()
        );
    }
    nothing()?;

    ctl_ok(testbed, USER, &["auth", "refresh", "--all"])?;
    ensure!(tokens.token()? == token('q'));
    ensure!(keys.exec(&["printenv", "ANTHROPIC_API_KEY"])?.ok());
    ensure!(tokens.status()?["revokedAt"].is_null());
    let journal = testbed.journal(&["--after-cursor", &cursor, "FORAGE_EVENT=revoked"])?;
    ensure!(journal.len() == 2, "{journal:?}");
    for (entry, print) in [("tokens", &held[0]), ("keys", &held[1])] {
        let told = journal.iter().any(|one| {
            one["FORAGE_SANDBOX"] == entry
                && one["FORAGE_CREDENTIAL_FP"] == *print
                && one["FORAGE_UID"] == "1005"
        });
        ensure!(told, "{entry}: {journal:?}");
    }
    forget(testbed)
}

#[test]
fn frozen_or_stopped_with_it() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    forget(testbed)?;
    ensure!(store(testbed, USER, &token('f'))?.ok());
    let sandbox = Sandbox::up(testbed, USER, "hostile", "claude", &[])?;
    ctl_ok(testbed, USER, &["auth", "revoke", "hostile", "--freeze"])?;
    ensure!(sandbox.field("state")? == "frozen");
    sandbox.holds(testbed, &[])?;
    let start = ctl(testbed, USER, &["start", "hostile"])?;
    ensure!(
        start.code() == 4 && start.stderr.contains("frozen"),
        "{}",
        start.text()
    );
    let exec = sandbox.exec(&["true"])?;
    ensure!(
        exec.code() != 0 && exec.stderr.contains("auth refresh"),
        "{}",
        exec.text()
    );
    // A daemon that begins anew finds it as it is.
    daemon(testbed, "restart")?;
    ensure!(sandbox.field("state")? == "frozen");
    ctl_ok(testbed, USER, &["auth", "refresh", "hostile"])?;
    ensure!(sandbox.field("state")? == "running");
    ensure!(sandbox.token()? == token('f'));

    ctl_ok(testbed, USER, &["auth", "revoke", "hostile", "--freeze"])?;
    ctl_ok(testbed, USER, &["auth", "revoke", "hostile", "--stop"])?;
    ensure!(sandbox.field("state")? == "stopped");
    ctl_ok(testbed, USER, &["start", "hostile"])?;
    sandbox.holds(testbed, &[])?;
    // root acts for others, by name, and brings no login of its own.
    let all = ["--owner", USER, "auth", "refresh", "hostile"];
    ctl_ok(testbed, "root", &all)?;
    ensure!(sandbox.token()? == token('f'));
    ctl_ok(
        testbed,
        "root",
        &["--owner", USER, "auth", "revoke", "--all"],
    )?;
    sandbox.holds(testbed, &[])?;
    // Nobody else's word counts.
    let others = ctl(testbed, "bob", &["auth", "refresh", "hostile"])?;
    let none = ctl(testbed, "bob", &["auth", "refresh", "nothing"])?;
    ensure!(others.code() == 3 && none.code() == 3, "{}", others.text());
    ensure!(others.text().replace("hostile", "nothing") == none.text());
    sandbox.holds(testbed, &[])?;
    forget(testbed)
}
