//! The login of Claude Code on the host, which renews its token every few hours.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};
use serde_json::{Value, json};

use super::{HELLO, Table, bearer, said};
use crate::support::{Undo, beside_others, ctl, ctl_ok, store, token};

const FILE: &str = "/home/erin/.claude/.credentials.json";

/// Claude Code on the host logs in, or renews its login.
fn log_in(testbed: &Testbed, token: &str, hours: u128) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let content = json!({"claudeAiOauth": {
        "accessToken": token,
        "refreshToken": token.replace("oat01", "ort01"),
        "expiresAt": now + hours * 3_600_000,
        "scopes": ["user:inference", "user:profile"],
    }});
    let fresh = format!("{FILE}.new");
    testbed.write_file(&fresh, "erin", "0600", content.to_string().as_bytes())?;
    testbed.run_ok("erin", &["mv", &fresh, FILE])?;
    Ok(())
}

/// When the login expires that the daemon knows. That no token is stored is another exit code.
fn known(testbed: &Testbed) -> Result<Value> {
    let status = ctl(testbed, "erin", &["claude", "token", "status", "--json"])?;
    let mut status: Value = serde_json::from_str(&status.stdout)?;
    Ok(status["loginExpiresAt"].take())
}

#[test]
fn a_running_process_follows_the_login_on_the_host() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _undo = Undo::new(testbed, "rm -rf /home/erin/.claude");
    let [first, second, third, fourth, stored] = ['1', '2', '3', '4', '5'].map(token);
    testbed.run_ok("erin", &["mkdir", "-p", "/home/erin/.claude"])?;
    log_in(testbed, &first, 8)?;
    let mut table = Table::lay(testbed, "erin", "login", "live")?;
    for token in [&first, &second, &third, &stored] {
        table.vendor.accept(token)?;
    }
    let mut agent = table.launch()?;
    table.uses(&mut agent, &bearer(&first))?;
    let credential = table.credential()?;
    ensure!(credential["source"] == "host-login", "{credential}");

    // Whoever does not watch it hands it over by hand.
    log_in(testbed, &second, 8)?;
    table.uses(&mut agent, &bearer(&first))?;
    ctl_ok(testbed, "erin", &["auth", "refresh", "login"])?;
    table.uses(&mut agent, &bearer(&second))?;

    // A renewal ends the old token, and reaches an agent that is being refused.
    let mut watch = testbed
        .command("erin", &["forage-ctl", "host-login", "watch"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("nothing watches")?;
    let mut watched = || -> Result<()> {
        table.vendor.refuse(&second)?;
        agent.ask("hi")?;
        let asked = table.vendor.next_asked()?;
        ensure!(asked.status == 401, "{asked:?}");
        log_in(testbed, &third, 8)?;
        let turn = agent.answer()?;
        ensure!(turn == said(HELLO), "{turn:?}");
        let seen = table.seen()?;
        ensure!(seen.last() == Some(&(200, bearer(&third))), "{seen:?}");

        // A stored token goes first, and the login takes over when it is gone.
        ensure!(store(testbed, "erin", &stored)?.ok());
        table.uses(&mut agent, &bearer(&stored))?;
        ctl_ok(testbed, "erin", &["claude", "token", "remove"])?;
        table.uses(&mut agent, &bearer(&third))?;

        // The refresh token is nowhere, and a renewal does not undo a revocation.
        let found = table
            .sandbox
            .exec(&["grep", "-r", "ort01", "/run/secrets"])?;
        ensure!(found.code() == 1, "{}", found.text());
        ctl_ok(testbed, "erin", &["auth", "revoke", "login"])?;
        let before = known(testbed)?;
        log_in(testbed, &fourth, 5)?;
        wait_for("the renewal", Duration::from_secs(20), || {
            Ok((known(testbed)? != before).then_some(()))
        })?;
        table.is_logged_out(&mut agent)
    };
    let watched = watched();
    // Itself, not what entered the host for it: nothing is left to be inherited.
    testbed.run_ok(
        "erin",
        &["pkill", "-u", "erin", "-f", "^forage-ctl host-login"],
    )?;
    watch.wait()?;
    watched
}
