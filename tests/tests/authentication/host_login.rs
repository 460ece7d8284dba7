//! The login of Claude Code on the host: brought in by starts, followed by the user's service, and seen
//! by nobody on the way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, alone, ctl, ctl_ok, daemon};

const USER: &str = "erin";
const UID: &str = "1005";
const FILE: &str = "/home/erin/.claude/.credentials.json";
const TOKEN: &str = "/run/secrets/claude-oauth-token";
const UNIT: &str = "forage-host-login.service";
/// How long it may take until a change is seen inside.
const SOON: Duration = Duration::from_secs(5);

fn login(name: &str) -> String {
    format!("sk-ant-oat01-CANARY-{name}-{}", "h".repeat(80))
}

/// The host of somebody who is logged in there, and logged out when the test ends.
struct Host {
    testbed: &'static Testbed,
}

impl Drop for Host {
    fn drop(&mut self) {
        let line = format!(
            "systemctl stop user@{UID}.service user-runtime-dir@{UID}.service; rm -rf \
             /home/{USER}/.claude /home/{USER}/.config"
        );
        if let Err(error) = self.testbed.sh("root", &line) {
            eprintln!("{USER} was not logged out: {error}");
        }
    }
}

impl Host {
    /// What Claude Code writes when it logs in or renews, as it writes it: a new file, renamed.
    fn log_in(&self, token: &str, hours: i64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let expires = i64::try_from(now)? + hours * 3_600_000;
        let content = format!(
            r#"{{"claudeAiOauth":{{"accessToken":"{token}","refreshToken":"sk-ant-ort01-CANARY-refresh","expiresAt":{expires},"scopes":["user:inference","user:profile"]}}}}"#
        );
        self.testbed
            .run_ok(USER, &["mkdir", "-p", "/home/erin/.claude"])?;
        let new = format!("{FILE}.new");
        self.testbed
            .write_file(&new, USER, "0600", content.as_bytes())?;
        self.testbed.run_ok(USER, &["mv", &new, FILE])?;
        Ok(())
    }

    /// The user manager, as it is after logging in.
    fn user_manager(&self, words: &[&str]) -> Result<String> {
        let runtime = format!("XDG_RUNTIME_DIR=/run/user/{UID}");
        let mut argv = vec!["env", &runtime, "systemctl", "--user"];
        argv.extend(words);
        self.testbed.run_ok(USER, &argv)
    }

    /// Waits until the service says this of itself.
    fn says(&self, text: &str) -> Result<()> {
        wait_for(text, SOON, || {
            let status = self.user_manager(&["show", "-P", "StatusText", UNIT])?;
            Ok(status.starts_with(text).then_some(()))
        })
    }
}

fn has(sandbox: &Sandbox, token: &str) -> Result<()> {
    wait_for(&format!("{token} inside"), SOON, || {
        let there = sandbox.exec(&["cat", TOKEN])?.stdout;
        Ok((there.trim_end() == token).then_some(()))
    })
}

#[test]
fn a_start_brings_the_login_on_the_host() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let host = Host { testbed };
    let cursor = testbed.journal_cursor()?;
    // Whatever else lies there is said and skipped, and the start goes on.
    host.log_in(&login("old"), -1)?;
    let up = ctl(testbed, USER, &["up", "home", "-t", "claude"])?;
    let sandbox = Sandbox::adopt(testbed, USER, "home")?;
    ensure!(
        up.ok() && up.stderr.contains("expired 1 h 0 min ago"),
        "{}",
        up.text()
    );
    ensure!(
        up.stderr
            .contains("; run claude on the host, which renews it"),
        "{}",
        up.stderr
    );
    ensure!(!sandbox.exec(&["test", "-e", TOKEN])?.ok());
    ctl_ok(testbed, USER, &["stop", "home"])?;

    host.log_in(&login("one"), 8)?;
    let start = ctl(testbed, USER, &["start", "home", "-v"])?;
    let line = "level=DEBUG msg=\"read OAuth token from host login\" expiresIn=";
    let left = start.stderr.split_once(line).map(|(_, rest)| rest);
    let left = left.is_some_and(|rest| rest.starts_with("7h59m5") || rest.starts_with("8h0m0s\n"));
    ensure!(start.ok() && left, "{}", start.text());
    ensure!(sandbox.exec_ok(&["cat", TOKEN])? == login("one"));
    let status = sandbox.status()?;
    let credential = &status["credentials"][0];
    ensure!(
        credential["source"] == "host-login" && status["credentialState"] == "ok",
        "{status}"
    );
    let says = sandbox.exec_ok(&["claude", "auth", "status"])?;
    ensure!(
        says.contains("\"loggedIn\": true") && says.contains("\"oauth_token\""),
        "{says}"
    );

    // Renewed on the host: the next refresh brings it.
    host.log_in(&login("two"), 8)?;
    let refresh = ctl_ok(testbed, USER, &["auth", "refresh", "home"])?;
    let says = " from host-login, used at its next launch\n";
    ensure!(
        refresh.starts_with("home: claude has ") && refresh.contains(says),
        "{refresh}"
    );
    ensure!(sandbox.exec_ok(&["cat", TOKEN])? == login("two"));
    let check = ctl(testbed, USER, &["auth", "check", "home"])?;
    ensure!(
        check.ok() && check.stdout.contains("logged in by oauth_token"),
        "{}",
        check.text()
    );
    // A login is its user's alone.
    let other = Sandbox::up(testbed, "bob", "notmine", "claude", &[])?;
    ensure!(!other.exec(&["test", "-e", TOKEN])?.ok());
    for entry in testbed.journal(&[&format!("--after-cursor={cursor}")])? {
        ensure!(
            !entry.to_string().contains("CANARY"),
            "in the journal: {entry}"
        );
    }
    Ok(())
}

#[test]
fn the_users_service_follows_the_login_on_the_host() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let host = Host { testbed };
    let cursor = testbed.journal_cursor()?;
    let sandbox = Sandbox::up(testbed, USER, "away", "claude", &[])?;
    ensure!(!sandbox.exec(&["test", "-e", TOKEN])?.ok());
    testbed.run_ok(
        "root",
        &["systemctl", "start", &format!("user@{UID}.service")],
    )?;
    host.user_manager(&["enable", "--now", UNIT])?;
    host.says("there is no login in /home/erin/.claude/")?;

    host.log_in(&login("first"), 8)?;
    has(&sandbox, &login("first"))?;
    host.says("handed over the login in /home/erin/.claude/")?;
    host.log_in(&login("second"), 8)?;
    has(&sandbox, &login("second"))?;
    // The daemon has it in memory alone; the service brings it again.
    daemon(testbed, "restart")?;
    host.log_in(&login("third"), 8)?;
    has(&sandbox, &login("third"))?;
    daemon(testbed, "stop")?;
    daemon(testbed, "start")?;
    let late = wait_for("the login after a restart", SOON, || {
        let status = ctl(
            testbed,
            "root",
            &["claude", "token", "status", "--owner", USER],
        )?;
        Ok(status.stdout.contains("host-login").then_some(status))
    })?;
    ensure!(late.code() == 3, "{}", late.text());

    // What is revoked stays away, whatever happens on the host.
    let revoked = ctl_ok(testbed, USER, &["auth", "revoke", "away"])?;
    ensure!(
        revoked.contains("claude held ") && revoked.contains(" from host-login\n"),
        "{revoked}"
    );
    host.log_in(&login("fourth"), 8)?;
    wait_for("the hand-over", SOON, || {
        let handed = host.user_manager(&["show", "-P", "StatusText", UNIT])?;
        Ok(handed.starts_with("handed over").then_some(()))
    })?;
    ensure!(!sandbox.exec(&["test", "-e", TOKEN])?.ok(), "it came back");
    ctl_ok(testbed, USER, &["auth", "refresh", "away"])?;
    has(&sandbox, &login("fourth"))?;

    // Logged out on the host is logged out inside.
    testbed.run_ok(USER, &["rm", FILE])?;
    wait_for("the end of the login", SOON, || {
        Ok((!sandbox.exec(&["test", "-e", TOKEN])?.ok()).then_some(()))
    })?;
    host.user_manager(&["stop", UNIT])?;
    let result = host.user_manager(&["show", "-P", "Result", UNIT])?;
    ensure!(result.trim() == "success", "{result}");
    for entry in testbed.journal(&[&format!("--after-cursor={cursor}")])? {
        ensure!(
            !entry.to_string().contains("CANARY"),
            "in the journal: {entry}"
        );
    }
    Ok(())
}
