//! Credentials in running sandboxes: who can read them, what follows a change, what competes.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{
    SECRET, Sandbox, SecretFile, alone, beside_others, ctl, ctl_ok, daemon, store, token,
};

#[test]
fn a_secret_file_is_the_agents_alone_and_follows_changes() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    let original = &file.original;
    let sandbox = Sandbox::up(testbed, "bob", "secret", "claude-key", &[])?;
    let named = sandbox.status()?["credentials"][0]["file"].clone();
    ensure!(named == "/run/secrets/anthropic", "{named}");
    let read = || sandbox.exec_ok(&["cat", "/run/secrets/anthropic"]);
    ensure!(read()? == original.trim_end());
    ensure!(sandbox.exec_ok(&["stat", "-c", "%a %U", "/run/secrets/anthropic"])? == "400 agent");
    ensure!(sandbox.exec_ok(&["printenv", "ANTHROPIC_API_KEY"])? == original.trim_end());
    let status = sandbox.exec_ok(&["claude", "auth", "status"])?;
    ensure!(status.contains("api_key"), "{status}");
    // secretName rules out the token store.
    ensure!(!sandbox.exec(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])?.ok());
    ensure!(
        !sandbox
            .exec(&["test", "-e", "/run/secrets/claude-oauth-token"])?
            .ok()
    );

    let generation = |sandbox: &Sandbox| -> Result<u64> {
        Ok(sandbox.status()?["credentials"][0]["generation"]
            .as_u64()
            .unwrap_or_default())
    };
    let follows = |line: &str, expected: &str| -> Result<()> {
        let before = generation(&sandbox)?;
        let done = testbed.sh("root", &line.replace('F', SECRET))?;
        ensure!(done.ok(), "{}", done.text());
        wait_for(
            &format!("{expected} after {line}"),
            Duration::from_secs(5),
            || {
                let there = read()? == expected && generation(&sandbox)? == before + 1;
                Ok(there.then_some(()))
            },
        )
    };
    follows(
        "umask 077; echo by-rename > F.new && mv F.new F",
        "by-rename",
    )?;
    follows("echo in-place > F", "in-place")?;
    follows("rm F; umask 077; echo again > F", "again")?;
    follows(
        "mkdir -p F.d/1 F.d/2; echo one > F.d/1/k; echo two > F.d/2/k; ln -sfn 1 F.d/now; ln -sf F.d/now/k F",
        "one",
    )?;
    follows(
        "ln -sfn 2 F.d/next; mv -T F.d/next F.d/now; rm -r F.d/1",
        "two",
    )?;
    // A source that goes away, or becomes unusable, leaves the last value.
    testbed.run_ok("root", &["rm", SECRET])?;
    wait_for("the warning", Duration::from_secs(5), || {
        let stale = sandbox.status()?["credentials"][0]["stale"].is_string();
        Ok(stale.then_some(()))
    })?;
    ensure!(read()? == "two");
    testbed.run_ok("root", &["rm", "-rf", &format!("{SECRET}.d")])?;
    file.restore()?;
    wait_for("the original", Duration::from_secs(5), || {
        Ok((read()? == original.trim_end()).then_some(()))
    })
}

#[test]
fn secrets_that_cannot_be_used_refuse_the_start() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _file = SecretFile::borrow(testbed)?;
    let before = testbed.inventory()?;
    for (line, expected) in [
        ("rm -rf F", "does not exist"),
        ("rm -rf F; : > F", "empty"),
        ("rm -rf F; mkdir F", "regular"),
        ("rm -rf F; mkfifo F", "regular"),
        ("rm -rf F; head -c 65537 /dev/zero > F", "64 KiB"),
    ] {
        testbed.run_ok("root", &["sh", "-c", &line.replace('F', SECRET)])?;
        let outcome = ctl(testbed, "bob", &["up", "unusable", "-t", "claude-key"])?;
        ensure!(outcome.code() == 1, "{line}: {}", outcome.text());
        ensure!(
            outcome.stderr.contains(expected) && outcome.stderr.contains("anthropic"),
            "{line}: {}",
            outcome.stderr
        );
        ensure!(
            ctl(testbed, "bob", &["status", "unusable"])?.code() == 3,
            "{line} left a sandbox"
        );
    }
    let left = testbed.inventory()?.since(&before);
    ensure!(
        left.is_empty(),
        "left behind:
{left}"
    );
    Ok(())
}

#[test]
fn the_token_is_stored_rewritten_and_taken_away() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    ctl(testbed, "alice", &["claude", "token", "remove"])?;
    let up = ctl(testbed, "alice", &["up", "tok", "-t", "claude"])?;
    let sandbox = Sandbox::adopt(testbed, "alice", "tok")?;
    ensure!(
        up.ok() && up.stderr.contains("warning:") && up.stderr.contains("claude setup-token"),
        "{}",
        up.text()
    );
    let file = "/run/secrets/claude-oauth-token";
    ensure!(!sandbox.exec(&["test", "-e", file])?.ok());
    let status = sandbox.exec(&["claude", "auth", "status"])?;
    ensure!(
        status.stdout.contains("\"loggedIn\": false"),
        "{}",
        status.text()
    );

    let first = token('f');
    let stored = store(testbed, "alice", &first)?;
    ensure!(
        stored.ok() && stored.text().contains("tok"),
        "{}",
        stored.text()
    );
    ensure!(sandbox.exec_ok(&["cat", file])? == first);
    let removed = ctl_ok(testbed, "alice", &["claude", "token", "remove"])?;
    ensure!(removed.contains("tok"), "{removed}");
    ensure!(!sandbox.exec(&["test", "-e", file])?.ok());
    ensure!(!sandbox.exec(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])?.ok());
    // bob's token is bob's.
    ensure!(store(testbed, "bob", &token('b'))?.ok());
    ensure!(
        !sandbox.exec(&["test", "-e", file])?.ok(),
        "alice got bob's token"
    );
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    Ok(())
}

#[test]
fn verbose_says_which_source_and_old_tokens_warn() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    ensure!(store(testbed, "alice", &token('v'))?.ok());
    let up = ctl(testbed, "alice", &["up", "verb", "-t", "claude", "-v"])?;
    let sandbox = Sandbox::adopt(testbed, "alice", "verb")?;
    let line = "level=DEBUG msg=\"using stored long-lived Claude OAuth token\"";
    ensure!(up.ok() && up.stderr.contains(line), "{}", up.text());
    let quiet = ctl(testbed, "alice", &["stop", "verb"])?;
    ensure!(quiet.ok());
    let quiet = ctl(testbed, "alice", &["start", "verb"])?;
    ensure!(
        !quiet.text().contains("warning"),
        "a valid token is used silently: {}",
        quiet.text()
    );
    let path = "/var/lib/firefly-forage/tokens/claude-oauth.json";
    for (days, warns) in [("+10 days", "claude setup-token"), ("-1 day", "expired")] {
        let change = format!(
            "d=$(date -u +%FT%TZ -d '{days}'); c=$(date -u +%FT%TZ -d '-300 days'); sed -i -E -e \"s/(\\\"createdAt\\\" ?: ?\\\")[^\\\"]*/\\1$c/\" -e \"s/(\\\"expiresAt\\\" ?: ?\\\")[^\\\"]*/\\1$d/\" {path} && chown foraged:foraged {path} && chmod 600 {path}"
        );
        testbed.run_ok("root", &["sh", "-c", &change])?;
        daemon(testbed, "restart")?;
        ctl_ok(testbed, "alice", &["stop", "verb"])?;
        let start = ctl(testbed, "alice", &["start", "verb"])?;
        ensure!(
            start.ok() && start.stderr.contains("warning:") && start.stderr.contains(warns),
            "{days}: {}",
            start.text()
        );
    }
    ensure!(
        !sandbox.exec(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])?.ok(),
        "an expired token was used"
    );
    ctl_ok(testbed, "alice", &["claude", "token", "remove"])?;
    Ok(())
}

#[test]
fn competing_variables_do_not_reach_the_agent() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "compete", "claude-key", &[])?;
    let run = |arguments: &[&str]| ctl(testbed, "bob", arguments);
    let stray = "CLAUDE_CODE_OAUTH_TOKEN=stray";
    let seen = run(&[
        "exec",
        "compete",
        "-e",
        stray,
        "-e",
        "ANTHROPIC_AUTH_TOKEN=stray",
        "--",
        "printenv",
    ])?;
    ensure!(
        seen.ok() && !seen.stdout.contains("=stray"),
        "{}",
        seen.text()
    );
    // The wrapper blanks what a shell inside has set.
    let status =
        sandbox.sh("ANTHROPIC_AUTH_TOKEN=x CLAUDE_CODE_OAUTH_TOKEN=y claude auth status")?;
    ensure!(
        status.contains("\"api_key\"") && status.contains("ANTHROPIC_API_KEY"),
        "{status}"
    );
    ensure!(
        sandbox
            .sh("command -v claude")?
            .starts_with("/run/forage/bin/")
    );
    Ok(())
}

#[test]
fn a_token_on_the_command_line_works_and_warns() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let stored = ctl(testbed, "bob", &["claude", "token", "store", &token('c')])?;
    ensure!(
        stored.ok() && stored.stderr.contains("warning:"),
        "{}",
        stored.text()
    );
    testbed.write_file("/home/bob/token", "bob", "0600", token('d').as_bytes())?;
    let stored = ctl(
        testbed,
        "bob",
        &["claude", "token", "store", "--file", "/home/bob/token"],
    )?;
    ensure!(
        stored.ok() && !stored.stderr.contains("warning:"),
        "{}",
        stored.text()
    );
    let status = ctl_ok(testbed, "bob", &["claude", "token", "status"])?;
    ensure!(status.contains("valid"), "{status}");
    ctl_ok(testbed, "bob", &["claude", "token", "remove"])?;
    Ok(())
}
