//! The services the daemon talks to are restarted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{self, DAEMON, Sandbox, Undo, alone, ctl, ctl_ok, service};

/// A polkit that hangs does not notice that its bus is gone.
const REVIVE_POLKIT: &str = "systemctl kill -s KILL polkit; systemctl reset-failed polkit; \
    systemctl start polkit";

/// `exec` of a `cat` that is under way.
struct Echo(Child);

impl Echo {
    fn begin(testbed: &Testbed, sandbox: &Sandbox) -> Result<Self> {
        let child = testbed
            .command("bob", &["forage-ctl", "exec", &sandbox.name, "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut echo = Self(child);
        echo.answers("begun")?;
        Ok(echo)
    }

    fn answers(&mut self, word: &str) -> Result<()> {
        let stdin = self.0.stdin.as_mut().context("no input")?;
        writeln!(stdin, "{word}")?;
        let stdout = self.0.stdout.as_mut().context("no output")?;
        // One line in, one line out: nothing is lost in the reader's buffer.
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.trim() == word, "{line:?}");
        Ok(())
    }

    fn ends(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait()?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

#[test]
fn a_restart_of_the_bus_cuts_calls_and_nothing_else() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "bus", "claude-key", &[])?;
    let mut echo = Echo::begin(testbed, &sandbox)?;
    let before = testbed.main_pid(DAEMON)?;
    // A call that is under way: its start waits for a polkit that hangs.
    let _polkit = Undo::new(testbed, REVIVE_POLKIT);
    service(testbed, "start", "polkit")?;
    testbed.run_ok("root", &["systemctl", "kill", "-s", "STOP", "polkit"])?;
    let up = testbed
        .command("bob", &["forage-ctl", "up", "cut", "-t", "claude-key"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    wait_for("the call", Duration::from_secs(10), || {
        let list = ctl_ok(testbed, "bob", &["ps", "--json"])?;
        Ok(list.contains("\"cut\"").then_some(()))
    })?;
    // Quickly: the call waits no longer than 3 s, nor does the next daemon when it takes this back.
    let line = format!("systemctl reset-failed dbus; systemctl restart dbus; {REVIVE_POLKIT}");
    testbed.run_ok("root", &["sh", "-c", &line])?;
    let cut = up.wait_with_output()?;
    let said = String::from_utf8_lossy(&cut.stderr);
    ensure!(cut.status.code() == Some(6), "{:?}: {said}", cut.status);
    ensure!(said.contains("error:") && said.contains("hint:"), "{said}");
    // The next call is answered by a daemon that connected anew.
    ensure!(
        sandbox.field("state")? == "running",
        "{}",
        sandbox.status()?
    );
    ensure!(testbed.main_pid(DAEMON)? != before, "it is the same daemon");
    echo.answers("still there")?;
    echo.ends()?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    // What was cut short is taken back, and a second try works.
    wait_for("the end of what was cut", Duration::from_secs(20), || {
        let list = ctl_ok(testbed, "bob", &["ps", "--json"])?;
        Ok((!list.contains("\"cut\"")).then_some(()))
    })?;
    let cut = Sandbox::up(testbed, "bob", "cut", "claude-key", &[])?;
    cut.down()?;
    sandbox.down()?;
    Ok(())
}

#[test]
fn restarts_of_polkit_machined_and_journald_are_not_noticed() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "services", "claude-key", &[])?;
    let mut echo = Echo::begin(testbed, &sandbox)?;
    let before = testbed.main_pid(DAEMON)?;
    for service in ["polkit", "systemd-machined", "systemd-journald"] {
        support::service(testbed, "restart", service)?;
        echo.answers(service)?;
        let cursor = testbed.journal_cursor()?;
        ensure!(sandbox.field("state")? == "running", "{service}");
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent", "{service}");
        let other = Sandbox::up(testbed, "bob", "meanwhile", "claude-key", &[])?;
        ctl_ok(testbed, "bob", &["stop", "meanwhile"])?;
        ctl_ok(testbed, "bob", &["start", "meanwhile"])?;
        other.down()?;
        // The daemon and the shims are heard in the journal as before.
        for entry in ["FORAGE_OPERATION=remove", "FORAGE_EVENT=booting"] {
            let wait = Duration::from_secs(10);
            testbed
                .journal_until(&cursor, &[entry], wait, |_| true)
                .context(service)?;
        }
    }
    ensure!(
        testbed.main_pid(DAEMON)? == before,
        "the daemon was restarted"
    );
    echo.ends()?;
    let stop = ctl(testbed, "bob", &["stop", "services"])?;
    ensure!(stop.ok(), "{}", stop.text());
    Ok(())
}
