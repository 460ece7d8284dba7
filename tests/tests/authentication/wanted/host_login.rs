//! The login of Claude Code on the host: taken where no token is stored, kept by running sandboxes over
//! restarts of the daemon, and never with its refresh token.

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};
use std::time::Duration;

use super::{USER, forget};
use crate::support::{DAEMON, Sandbox, alone, ctl, ctl_ok, daemon, store, token};

const REFRESH: &str = "sk-ant-ort01-CANARY";

/// Writes the file Claude Code keeps its login in, as it writes it.
fn log_in(testbed: &Testbed, letter: char, lasts: &str) -> Result<()> {
    let token = token(letter);
    let line = format!(
        "umask 077; mkdir -p ~/.claude; printf '{{\"claudeAiOauth\":{{\"accessToken\":\"{token}\",\
         \"refreshToken\":\"{REFRESH}\",\"expiresAt\":%s,\"scopes\":[\"user:inference\",\"user:profile\"]}}}}' \
         \"$(date -d '{lasts}' +%s)000\" > ~/.claude/.credentials.json"
    );
    testbed.run_ok(USER, &["sh", "-c", &line])?;
    Ok(())
}

#[test]
fn a_login_is_used_kept_followed_and_taken_away() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    forget(testbed)?;
    log_in(testbed, 'h', "now + 445 minutes")?;
    let cursor = testbed.journal_cursor()?;
    let up = ctl(testbed, USER, &["up", "login", "-t", "claude", "-v"])?;
    let sandbox = Sandbox::adopt(testbed, USER, "login")?;
    ensure!(up.ok(), "{}", up.text());
    for line in [
        "level=DEBUG msg=\"read OAuth token from host login\" expiresIn=7h25m0s\n",
        "level=DEBUG msg=\"using short-lived OAuth token from host login\"\n",
        "falls back to the login of this host",
        "claude setup-token",
    ] {
        ensure!(up.stderr.contains(line), "{line}: {}", up.stderr);
    }
    ensure!(sandbox.token()? == token('h'));
    let agent = sandbox.exec_ok(&["claude", "auth", "status"])?;
    ensure!(agent.contains("\"oauth_token\""), "{agent}");
    let status = ctl(testbed, USER, &["claude", "token", "status", "--json"])?.stdout;
    ensure!(status.contains("\"host-login\""), "{status}");

    // A daemon that knows nothing of it takes nothing away, however often it starts.
    let before = sandbox.given()?;
    for _ in 0..2 {
        testbed.kill_unit(DAEMON)?;
        daemon(testbed, "start")?;
        wait_for("the wanted state", Duration::from_secs(20), || {
            Ok(sandbox.given()?["stale"].is_null().then_some(()))
        })?;
        ensure!(sandbox.given()? == before, "{}", sandbox.given()?);
        ensure!(sandbox.token()? == token('h'));
    }

    // A login that was renewed follows with the next refresh; a stored token goes first.
    log_in(testbed, 'i', "now + 8 hours")?;
    ctl_ok(testbed, USER, &["auth", "refresh", "login"])?;
    ensure!(sandbox.token()? == token('i'));
    ensure!(store(testbed, USER, &token('s'))?.ok());
    ensure!(sandbox.token()? == token('s'));
    ctl_ok(testbed, USER, &["claude", "token", "remove"])?;
    ensure!(sandbox.token()? == token('i'));
    ensure!(sandbox.given()?["source"] == "host-login");

    // No login any more: it is taken away, and a start says what to do.
    testbed.run_ok(USER, &["sh", "-c", "rm ~/.claude/.credentials.json"])?;
    ctl_ok(testbed, USER, &["auth", "refresh", "login"])?;
    ensure!(sandbox.token()?.is_empty());
    ctl_ok(testbed, USER, &["stop", "login"])?;
    let start = ctl(testbed, USER, &["start", "login"])?;
    ensure!(start.ok(), "{}", start.text());
    for words in ["no Claude token", "claude auth login", "claude setup-token"] {
        ensure!(start.stderr.contains(words), "{}", start.stderr);
    }
    let journal = testbed.journal(&["--after-cursor", &cursor])?;
    let journal = serde_json::to_string(&journal)?;
    ensure!(
        journal.contains("credential-rotated"),
        "no rotation is in the journal"
    );
    for secret in [REFRESH, "hhhhhhhh", "iiiiiiii"] {
        ensure!(!journal.contains(secret), "{secret} is in the journal");
    }
    let line = "grep -rlE 'CANARY|hhhhhhhh|iiiiiiii' /var/lib/firefly-forage /run/firefly-forage/result /run/firefly-forage/daemon; true";
    let on_disk = testbed.run_ok("root", &["sh", "-c", line])?;
    ensure!(on_disk.is_empty(), "on disk: {on_disk}");
    forget(testbed)
}

#[test]
fn an_expired_or_damaged_login_is_said_and_skipped() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    forget(testbed)?;
    log_in(testbed, 'e', "now - 1 minute")?;
    let up = ctl(testbed, USER, &["up", "late", "-t", "claude"])?;
    let sandbox = Sandbox::adopt(testbed, USER, "late")?;
    ensure!(up.ok() && up.stderr.contains("expired"), "{}", up.text());
    ensure!(sandbox.token()?.is_empty());
    for content in [
        "",
        "{",
        "{\"claudeAiOauth\":{\"refreshToken\":\"sk-ant-ort01-CANARY\"}}",
    ] {
        let line = format!("printf %s '{content}' > ~/.claude/.credentials.json");
        testbed.run_ok(USER, &["sh", "-c", &line])?;
        let refresh = ctl(testbed, USER, &["auth", "refresh", "late"])?;
        ensure!(
            refresh.ok() && refresh.stderr.contains("skipped"),
            "{}",
            refresh.text()
        );
        ensure!(!refresh.text().contains("CANARY"), "{}", refresh.text());
        ensure!(sandbox.token()?.is_empty());
    }
    forget(testbed)
}
