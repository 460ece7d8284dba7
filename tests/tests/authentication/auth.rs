//! Looking at credentials, taking them away, and asking those who use them.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, SecretFile, alone, ctl, ctl_ok};

const FILE: &str = "/run/secrets/anthropic";

/// The one delivery of a sandbox, as `auth status` has it.
fn delivery(testbed: &Testbed, name: &str) -> Result<serde_json::Value> {
    let text = ctl_ok(testbed, "bob", &["auth", "status", name, "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&text)?;
    Ok(status["sandboxes"][0].clone())
}

#[test]
fn what_is_revoked_stays_away_until_it_is_asked_for() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    let original = file.original.trim_end().to_owned();
    let sandbox = Sandbox::up(testbed, "bob", "rev", "claude-key", &[])?;
    let before = delivery(testbed, "rev")?;
    let fingerprint = before["credentials"][0]["fingerprint"].clone();
    let fingerprint = fingerprint.as_str().unwrap_or_default().to_owned();
    ensure!(
        before["credentials"][0]["state"] == "ok" && fingerprint.len() == 8,
        "{before}"
    );
    let table = ctl(testbed, "bob", &["auth", "status"])?;
    ensure!(table.stdout.contains(&fingerprint) && table.stderr.contains("was not asked"));

    let revoked = ctl(testbed, "bob", &["auth", "revoke", "rev"])?;
    let held = format!("rev is revoked; claude held {fingerprint} from secret:anthropic\n");
    ensure!(
        revoked.ok() && revoked.stdout.starts_with(&held),
        "{}",
        revoked.text()
    );
    ensure!(
        revoked
            .stdout
            .contains("keep ANTHROPIC_API_KEY in their environment")
    );
    let gone = || -> Result<()> {
        ensure!(!sandbox.exec(&["test", "-e", FILE])?.ok());
        ensure!(!sandbox.exec(&["printenv", "ANTHROPIC_API_KEY"])?.ok());
        ensure!(delivery(testbed, "rev")?["credentialState"] == "revoked");
        Ok(())
    };
    gone()?;
    ctl_ok(testbed, "bob", &["stop", "rev"])?;
    let stopped = ctl_ok(testbed, "bob", &["auth", "status", "rev"])?;
    ensure!(
        stopped.contains("stopped: nothing is delivered, and revoked"),
        "{stopped}"
    );
    ctl_ok(testbed, "bob", &["start", "rev"])?;
    gone()?;
    let check = ctl(testbed, "bob", &["auth", "check", "rev"])?;
    ensure!(
        check.code() == 1 && check.stderr.contains("is revoked\n"),
        "{}",
        check.text()
    );

    let again = ctl_ok(testbed, "bob", &["auth", "refresh", "rev"])?;
    ensure!(
        again.contains(&format!("claude has {fingerprint} from secret:anthropic")),
        "{again}"
    );
    ensure!(sandbox.exec_ok(&["cat", FILE])? == original);
    let frozen = ctl_ok(testbed, "bob", &["auth", "revoke", "rev", "--freeze"])?;
    ensure!(frozen.contains("; it is frozen\n"), "{frozen}");
    let check = ctl(testbed, "bob", &["auth", "check", "rev"])?;
    ensure!(
        check.code() == 4 && check.stderr.contains("auth refresh rev"),
        "{}",
        check.text()
    );
    ctl_ok(testbed, "bob", &["auth", "refresh", "rev"])?;
    ensure!(sandbox.exec_ok(&["cat", FILE])? == original);
    let stopped = ctl_ok(testbed, "bob", &["auth", "revoke", "rev", "--stop"])?;
    ensure!(stopped.contains("; it is stopped\n"), "{stopped}");
    Ok(())
}

#[test]
fn a_check_finds_what_competes_and_shows_no_value() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "chk", "claude-key", &[])?;
    let check = || ctl(testbed, "bob", &["auth", "check", "chk"]);
    let clean = check()?;
    ensure!(clean.ok(), "{}", clean.text());
    ensure!(
        clean.stdout.contains("logged in by api_key\n"),
        "{}",
        clean.text()
    );
    ensure!(
        clean.stdout.contains("nothing was found that competes"),
        "{}",
        clean.text()
    );

    // An agent that was started before keeps what it was started with.
    sandbox.sh("setsid -f sleep 1000 </dev/null >/dev/null 2>&1")?;
    ensure!(check()?.ok(), "the value is the same");
    testbed.write_file(
        crate::support::SECRET,
        "root",
        "0400",
        b"sk-ant-api03-CANARY-new\n",
    )?;
    ctl_ok(testbed, "bob", &["auth", "refresh", "chk"])?;
    sandbox.sh(
        "mkdir -p ~/.claude .claude; echo '{\"apiKeyHelper\":\"echo CANARY-helper\",\
         \"env\":{\"ANTHROPIC_AUTH_TOKEN\":\"CANARY-env\"}}' >.claude/settings.json; \
         echo '{\"claudeAiOauth\":{\"accessToken\":\"CANARY-own\"}}' >~/.claude/.credentials.json; \
         echo '{\"apiKeyHelper\":\"CANARY' >.claude/settings.local.json; \
         printf '{\"primaryApiKey\":\"CANARY\",\"a\":\"%01000000d\"}' 0 >~/.claude.json; \
         ANTHROPIC_AUTH_TOKEN=CANARY-stray setsid -f sleep 1001 </dev/null >/dev/null 2>&1; \
         CLAUDE_CODE_OAUTH_TOKEN=CANARY-tmux tmux -L default new-session -d -s other sleep 1002",
    )?;
    let found = check()?;
    ensure!(found.code() == 1, "{}", found.text());
    for says in [
        "still has an older ANTHROPIC_API_KEY",
        "(sleep) has ANTHROPIC_AUTH_TOKEN, which was not delivered",
        "tmux hands CLAUDE_CODE_OAUTH_TOKEN to every shell",
        "apiKeyHelper is set by .claude/settings.json in the workspace",
        "ANTHROPIC_AUTH_TOKEN is set by .claude/settings.json in the workspace",
        ".claude/settings.local.json in the workspace could not be understood",
        "primaryApiKey is set by ~/.claude.json",
        "claude has a login of its own in the sandbox",
    ] {
        ensure!(found.stderr.contains(says), "{says}: {}", found.text());
    }
    ensure!(!found.text().contains("CANARY"), "{}", found.text());
    file.restore()
}

#[test]
fn a_hostile_agent_cannot_hold_a_check_up_or_talk_it_round() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _sandbox = Sandbox::up(testbed, "bob", "liar", "claude-key", &[])?;
    let tools = |script: &str| -> Result<()> {
        let line = format!(
            "for tool in tr head grep cat; do printf '#!/bin/sh\\n%s\\n' '{script}' >/usr/local/bin/$tool; \
             chmod 755 /usr/local/bin/$tool; done"
        );
        let set = ctl(
            testbed,
            "bob",
            &["exec", "-u", "root", "liar", "--", "sh", "-c", &line],
        )?;
        ensure!(set.ok(), "{}", set.text());
        Ok(())
    };
    ctl_ok(testbed, "bob", &["auth", "revoke", "liar"])?;
    for script in [
        "echo end; printf \"end\\0\\0\"",
        "while :; do printf \"\\033[2Jenv ANTHROPIC_API_KEY CANARY\\n\"; done",
        "exec sleep 1000",
    ] {
        tools(script)?;
        let check = ctl(testbed, "bob", &["auth", "check", "liar"])?;
        // What the host knows stands.
        ensure!(
            check.code() == 1 && check.stderr.contains("is revoked\n"),
            "{}",
            check.text()
        );
        ensure!(!check.text().contains('\x1b') && !check.text().contains("CANARY"));
        ensure!(check.text().len() < 8000, "{}", check.text().len());
        let unseen = "could not be looked through: it did not answer to the end";
        let slow = script.contains("sleep");
        ensure!(!slow || check.stderr.contains(unseen), "{}", check.text());
    }
    Ok(())
}
