//! Credentials that expire while a sandbox runs.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::listening::Signals;
use crate::login::{Login, moment};
use crate::probe::install_probe;
use crate::support::{DAEMON, Sandbox, Undo, alone, ctl, ctl_ok, daemon, token};

const STORE: &str = "/var/lib/firefly-forage/tokens/claude-oauth.json";
const FILE: &str = "/run/secrets/claude-oauth-token";

/// Puts an entry into the token store, as root may by hand.
fn put_entry(testbed: &'static Testbed, token: &str, until: &str) -> Result<Undo> {
    let created_at = moment(testbed, "-300 days", "+%FT%TZ")?;
    let expires_at = moment(testbed, until, "+%FT%T.%NZ")?;
    let entry =
        format!(r#"{{"token":"{token}","createdAt":"{created_at}","expiresAt":"{expires_at}"}}"#);
    let undo = Undo::new(testbed, format!("rm -f {STORE}"));
    testbed.write_file(STORE, "foraged", "0600", entry.as_bytes())?;
    Ok(undo)
}

#[test]
fn what_expires_gives_way_to_the_next_source() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _probe = install_probe(testbed)?;
    ctl(testbed, "alice", &["claude", "token", "remove"])?;
    let mut signals = Signals::of(testbed, "alice")?;
    let (stored, login) = (token('s'), token('l'));
    // However long that takes: the time runs from when the sandbox does.
    let sandbox = Sandbox::up(testbed, "alice", "expiry", "claude", &[])?;
    let cursor = testbed.journal_cursor()?;
    let _login = Login::of_alice(testbed, &login, "sk-ant-ort01-x", "+24 seconds")?;
    let _entry = put_entry(testbed, &stored, "+12 seconds")?;
    ctl_ok(testbed, "alice", &["auth", "refresh", "expiry"])?;
    signals.expect("rotated expiry token-store")?;
    ensure!(sandbox.exec_ok(&["cat", FILE])? == stored);
    // It has less than a day left: that is told at once.
    signals.expect("expiring expiry token-store 1")?;
    let listed = ctl_ok(testbed, "alice", &["ps"])?;
    ensure!(listed.contains("expiring"), "{listed}");

    signals.expect("expiring expiry token-store 0")?;
    signals.expect("rotated expiry host-login")?;
    ensure!(sandbox.exec_ok(&["cat", FILE])? == login);
    signals.expect("expiring expiry host-login 0")?;
    signals.expect("rotated expiry none")?;
    ensure!(!sandbox.exec(&["test", "-e", FILE])?.ok());
    let listed = ctl_ok(testbed, "alice", &["ps"])?;
    ensure!(listed.contains("none"), "{listed}");

    // The journal has each once, as a warning, with where it came from and no value.
    let after = format!("--after-cursor={cursor}");
    let told = testbed.journal(&[
        &after,
        "FORAGE_EVENT=credential-expiring",
        "FORAGE_EVENT=credential-expired",
    ])?;
    let words: Vec<String> = told
        .iter()
        .map(|entry| {
            let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            ensure_no_value(&entry.to_string(), &[&stored, &login]);
            let fingerprint = word("FORAGE_CREDENTIAL_FP").len();
            [
                word("FORAGE_EVENT"),
                word("FORAGE_CREDENTIAL_SOURCE"),
                word("PRIORITY"),
                fingerprint.to_string(),
            ]
            .join(" ")
        })
        .collect();
    let expected = [
        "credential-expiring token-store 4 8",
        "credential-expired token-store 4 8",
        "credential-expired host-login 4 8",
    ];
    ensure!(words == expected, "{words:?}");
    Ok(())
}

fn ensure_no_value(text: &str, values: &[&str]) {
    for value in values {
        assert!(!text.contains(value), "a value is told");
    }
}

#[test]
fn a_deadline_survives_the_daemon() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _probe = install_probe(testbed)?;
    ctl(testbed, "alice", &["claude", "token", "remove"])?;
    let stored = token('d');
    let sandbox = Sandbox::up(testbed, "alice", "outlives", "claude", &[])?;
    let _entry = put_entry(testbed, &stored, "+12 seconds")?;
    ctl_ok(testbed, "alice", &["auth", "refresh", "outlives"])?;
    ensure!(sandbox.exec_ok(&["cat", FILE])? == stored);
    let cursor = testbed.journal_cursor()?;
    daemon(testbed, "restart")?;
    let entry = testbed.journal_until(
        &cursor,
        &["FORAGE_EVENT=credential-removed"],
        Duration::from_secs(30),
        |entry| entry["FORAGE_SANDBOX"] == "outlives",
    )?;
    ensure!(entry["FORAGE_CREDENTIAL_SOURCE"] == "none", "{entry}");
    ensure!(!sandbox.exec(&["test", "-e", FILE])?.ok());
    Ok(())
}

/// Has the daemon hear that the clock was set, at its next wait for a deadline. The machine's own clock
/// is nobody's to set.
struct ClockSet(Child);

impl ClockSet {
    fn next(testbed: &Testbed) -> Result<Self> {
        let pid = testbed.main_pid(DAEMON)?.to_string();
        let inject = "inject=timerfd_settime:error=ECANCELED:when=1";
        let argv = ["strace", "-f", "-qq", "-o", "/dev/null"];
        let more = ["-e", "trace=timerfd_settime", "-e", inject, "-p", &pid];
        let mut command = testbed.command("root", &[&argv[..], &more].concat());
        let strace = Self(command.stdin(Stdio::null()).spawn()?);
        let traced =
            format!("! grep -L '^TracerPid:[^0-9]*[1-9]' /proc/{pid}/task/*/status | grep -q .");
        wait_for("strace", Duration::from_secs(10), || {
            Ok(testbed.sh("root", &traced)?.ok().then_some(()))
        })?;
        Ok(strace)
    }
}

impl Drop for ClockSet {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_clock_that_is_set_brings_a_good_token_back() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    ctl(testbed, "alice", &["claude", "token", "remove"])?;
    let stored = token('c');
    let _entry = put_entry(testbed, &stored, "-1 day")?;
    let sandbox = Sandbox::up(testbed, "alice", "clockset", "claude", &[])?;
    let absent = || Ok::<_, anyhow::Error>(!sandbox.exec(&["test", "-e", FILE])?.ok());
    ensure!(absent()?, "an expired token was delivered");
    // By another clock the entry is good. Nothing tells the daemon, whatever else goes on.
    let _entry = put_entry(testbed, &stored, "+100 days")?;
    let other = Sandbox::up(testbed, "bob", "meanwhile", "claude-key", &[])?;
    other.down()?;
    ensure!(absent()?, "the token was looked at for no reason");
    let cursor = testbed.journal_cursor()?;
    let strace = ClockSet::next(testbed)?;
    let _other = Sandbox::up(testbed, "bob", "meanwhile", "claude-key", &[])?;
    let entry = testbed.journal_until(
        &cursor,
        &["FORAGE_EVENT=credential-rotated"],
        Duration::from_secs(20),
        |entry| entry["FORAGE_SANDBOX"] == "clockset",
    )?;
    drop(strace);
    ensure!(
        entry["FORAGE_CREDENTIAL_SOURCE"] == "token-store",
        "{entry}"
    );
    ensure!(sandbox.exec_ok(&["cat", FILE])? == stored);
    Ok(())
}
