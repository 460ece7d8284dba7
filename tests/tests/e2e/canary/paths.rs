//! Values in files of Claude Code's form, of a helper, and of a login on the host: changed, shown, checked,
//! refused, revoked and given again.

use anyhow::{Result, ensure};
use forage_tests::testbed::{Outcome, Testbed};

use super::hunt::{hunt, watched};
use crate::support::{DAEMON, Sandbox, Undo, alone, ctl, daemon, store};

const LOGIN: &str = "/home/erin/.claude/.credentials.json";
const KEY: &str = "/etc/forage-secrets/live-key";
const DROP_IN: &str = "/run/systemd/system/firefly-forage.service.d/trace.conf";

/// A token of the right shape that is recognised wherever it turns up.
fn canary(kind: &str, letter: char) -> String {
    format!("sk-ant-{kind}-CANARY{}", letter.to_string().repeat(89))
}

fn login(letter: char, expires_at: &str) -> String {
    let (access, refresh) = (canary("oat01", letter), canary("ort01", letter));
    format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{access}","refreshToken":"{refresh}","expiresAt":{expires_at},"scopes":["user:inference"]}}}}"#
    )
}

/// Neither stream has it, whatever came of the command.
fn silent(outcome: Outcome) -> Result<Outcome> {
    let text = outcome.text();
    ensure!(!text.contains("CANARY"), "a command prints it: {text}");
    Ok(outcome)
}

/// Runs `forage-ctl` as erin, with everything it would say.
fn quiet(testbed: &Testbed, arguments: &[&str]) -> Result<Outcome> {
    silent(ctl(testbed, "erin", &[arguments, &["-v"]].concat())?)
}

#[test]
fn a_canary_in_files_and_logins_is_seen_nowhere() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _undo = Undo::new(
        testbed,
        format!(
            "rm -rf /home/erin/.claude {KEY} {DROP_IN}; systemctl daemon-reload; systemctl reset-failed {DAEMON}; systemctl restart {DAEMON}"
        ),
    );
    let trace = "[Service]\nExecStart=\nExecStart=/usr/bin/foraged --log trace\n";
    testbed.write_file(DROP_IN, "root", "0644", trace.as_bytes())?;
    testbed.run_ok("root", &["systemctl", "daemon-reload"])?;
    daemon(testbed, "restart")?;
    watched(testbed, || {
        let key = canary("api03", 'k');
        testbed.write_file(KEY, "root", "0400", key.as_bytes())?;
        testbed.write_file(
            LOGIN,
            "erin",
            "0600",
            login('a', "4102444800000").as_bytes(),
        )?;
        // An expiry a lifetime away is no login's; what is said about it has no part of it.
        quiet(testbed, &["auth", "refresh", "--all"])?;
        testbed.write_file(
            LOGIN,
            "erin",
            "0600",
            login('b', &in_hours(testbed)?).as_bytes(),
        )?;
        let live = Sandbox::up(testbed, "erin", "canary3", "live", &["-v"])?;
        let key = Sandbox::up(testbed, "erin", "canary4", "live-key", &["-v"])?;
        ensure!(live.field("id")? != key.field("id")?);
        has(&live, "claude-credentials/.credentials.json", 1)?;
        has(&key, "live-key", 1)?;
        shown(testbed)?;
        hunt(testbed, &live)?;
        hunt(testbed, &key)?;
        changed(testbed)?;
        shown(testbed)?;
        refused(testbed)?;

        for name in ["canary3", "canary4"] {
            done(&quiet(testbed, &["auth", "revoke", name])?)?;
        }
        shown(testbed)?;
        let root = "grep -r -l CANAR[Y] /run/firefly-forage /var/lib/firefly-forage/sandboxes";
        let left = testbed.sh("root", root)?;
        ensure!(
            left.stdout.is_empty(),
            "after a revocation: {}",
            left.stdout
        );
        testbed.write_file(KEY, "root", "0400", canary("api03", 'm').as_bytes())?;
        done(&quiet(testbed, &["auth", "refresh", "--all"])?)?;
        has(&live, "claude-credentials/.credentials.json", 1)?;
        hunt(testbed, &live)?;
        hunt(testbed, &key)?;
        quiet(testbed, &["claude", "token", "remove"])?;
        Ok(())
    })
}

fn done(outcome: &Outcome) -> Result<()> {
    ensure!(outcome.ok(), "{}", outcome.text());
    Ok(())
}

/// In eight hours, in milliseconds since 1970.
fn in_hours(testbed: &Testbed) -> Result<String> {
    let seconds = testbed.run_ok("root", &["date", "+%s", "-d", "+8 hours"])?;
    Ok(format!("{}000", seconds.trim()))
}

/// A file has the access token or the key, and no file a refresh token.
fn has(sandbox: &Sandbox, file: &str, times: usize) -> Result<()> {
    let count = format!("grep -c CANAR[Y] /run/secrets/{file}");
    ensure!(sandbox.sh(&count)? == times.to_string());
    let refresh = sandbox.exec(&["grep", "-r", "ort01", "/run", "/home", "/etc/claude-code"])?;
    ensure!(
        refresh.stdout.is_empty(),
        "a refresh token: {}",
        refresh.stdout
    );
    Ok(())
}

/// Everything that shows credentials.
fn shown(testbed: &Testbed) -> Result<()> {
    for arguments in [
        &["auth", "status"][..],
        &["auth", "status", "--json"],
        &["auth", "status", "canary3"],
        &["auth", "check", "canary3"],
        &["auth", "check", "canary4"],
        &["status", "canary4", "--json"],
        &["claude", "token", "status", "--json"],
        &["ps", "--json"],
        &["logs", "canary3"],
    ] {
        quiet(testbed, arguments)?;
    }
    Ok(())
}

/// Every source brings another value.
fn changed(testbed: &Testbed) -> Result<()> {
    testbed.write_file(
        LOGIN,
        "erin",
        "0600",
        login('c', &in_hours(testbed)?).as_bytes(),
    )?;
    done(&quiet(testbed, &["auth", "refresh", "canary3"])?)?;
    for letter in ['d', 'e'] {
        let stored = silent(store(testbed, "erin", &canary("oat01", letter))?)?;
        ensure!(stored.ok(), "{}", stored.text());
    }
    let key = canary("api03", 'l');
    testbed.write_file(KEY, "root", "0400", key.as_bytes())?;
    done(&quiet(testbed, &["auth", "refresh", "canary4"])?)?;
    Ok(())
}

/// What is refused is not quoted.
fn refused(testbed: &Testbed) -> Result<()> {
    let torn = login('f', "1").replace("}}", "");
    let wrong = [
        canary("api03", 'x'),
        canary("ort01", 'x'),
        format!("{}#state", canary("oat01", 'x')),
        format!("{0} {0}", canary("oat01", 'x')),
        login('x', "1"),
    ];
    for value in wrong {
        let stored = silent(store(testbed, "erin", &value)?)?;
        ensure!(!stored.ok(), "{}", stored.text());
    }
    for content in [torn, login('f', "\"CANARY\""), login('f', "1")] {
        testbed.write_file(LOGIN, "erin", "0600", content.as_bytes())?;
        quiet(testbed, &["auth", "refresh", "canary3"])?;
    }
    // A secret that cannot be used any more leaves the last one, and says why without it.
    let large = format!("CANARY{}", "x".repeat(70_000));
    testbed.write_file(KEY, "root", "0400", large.as_bytes())?;
    quiet(testbed, &["auth", "refresh", "canary4"])?;
    Ok(())
}
