//! The ways a session on a terminal ends: each leaves the user's terminal as it was, and nothing of
//! the session in the sandbox.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::terminal::Screen;
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{DAEMON, Sandbox, alone, beside_others, ctl_ok, daemon};
use crate::terminal::shell;

/// Sends a signal to the `forage-ctl` of a session.
fn signal(testbed: &Testbed, name: &str, signal: &str) -> Result<()> {
    let signal = format!("-{signal}");
    let pattern = format!("forage-ctl shell {name}");
    testbed.run_ok("root", &["pkill", &signal, "-x", "-f", &pattern])?;
    Ok(())
}

/// Ends a session's screen and checks that the terminal is as it was.
fn ends(screen: &mut Screen, code: i32) -> Result<()> {
    let status = screen.wait()?;
    let shown = screen.rest();
    ensure!(
        status.code() == Some(code),
        "{status:?}, not {code}: {shown}"
    );
    let (before, after) = (&screen.before, screen.modes()?);
    ensure!(*before == after, "before: {before}\nafter: {after}");
    Ok(())
}

/// Waits until no command of a sandbox runs.
fn nothing_left(testbed: &Testbed, sandbox: &Sandbox) -> Result<()> {
    let processes = format!(
        "for p in $(cat /sys/fs/cgroup/machine.slice/{}/exec/*/cgroup.procs 2>/dev/null); do \
         tr '\\0' ' ' </proc/$p/cmdline; grep -E 'State|Sig|PPid' /proc/$p/status; done",
        sandbox.unit()
    );
    let mut left = String::new();
    let gone = wait_for("the session's end", Duration::from_secs(20), || {
        left = testbed.sh("root", &processes)?.stdout;
        Ok(left.is_empty().then_some(()))
    });
    gone.with_context(|| left)
}

#[test]
fn signals_to_the_command_line() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "end-sig", "claude-key", &[])?;
    for (name, code) in [("TERM", 143), ("HUP", 129), ("INT", 130), ("QUIT", 131)] {
        let mut screen = shell(testbed, "bob", &["end-sig"])?;
        ensure!(screen.modes()? != screen.before, "the terminal is not raw");
        signal(testbed, "end-sig", name)?;
        ends(&mut screen, code)?;
        nothing_left(testbed, &sandbox)?;
    }
    // Killed at once, it can put nothing back; but nothing of the session goes on.
    let mut screen = shell(testbed, "bob", &["end-sig"])?;
    screen.sh("trap '' HUP; (trap '' HUP; exec setsid sleep 1000) & sleep 1000 &")?;
    signal(testbed, "end-sig", "KILL")?;
    screen.wait()?;
    nothing_left(testbed, &sandbox)
}

#[test]
fn stopped_and_continued() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "end-stop", "claude-key", &[])?;
    let argv = ["bash", "--norc", "--noprofile", "-i"];
    let mut screen = Screen::run(testbed, "bob", &argv)?;
    screen.greet()?;
    let modes = |screen: &mut Screen| screen.sh("stty -g");
    let before = modes(&mut screen)?;
    screen.type_in("forage-ctl shell end-stop\r")?;
    screen.until("agent@")?;
    signal(testbed, "end-stop", "TSTP")?;
    screen.until("Stopped")?;
    screen.until("ready% ")?;
    ensure!(modes(&mut screen)? == before);
    screen.resize(30, 90)?;
    screen.type_in("fg\r")?;
    screen.until("fg\r\n")?;
    screen.until("end-stop")?;
    screen.type_in("\rstty size\r")?;
    screen.until("30 90\r\n")?;
    screen.type_in("exit 3\r")?;
    screen.until("ready% ")?;
    ensure!(screen.sh("echo $?")? == "3");
    let after = modes(&mut screen)?;
    ensure!(
        after == before,
        "{before}
{after}"
    );
    // Stopped, it can be ended, and the terminal stays as the shell has it.
    screen.type_in("forage-ctl shell end-stop\r")?;
    screen.until("agent@")?;
    signal(testbed, "end-stop", "TSTP")?;
    screen.until("Stopped")?;
    screen.until("ready% ")?;
    // While it is stopped, bash does not wait for it.
    let end = "while wait -f %1; e=$?; [ $e = 147 ]; do :; done 2>/dev/null";
    screen.type_in(&format!("kill %1; {end}; echo ended $e\r"))?;
    screen.until("ended 143")?;
    screen.until("ready% ")?;
    ensure!(modes(&mut screen)? == before);
    // In the background it waits for its turn, and takes the terminal as it finds it then.
    screen.type_in("forage-ctl shell end-stop &\r")?;
    screen.until("ready% ")?;
    let stopped = wait_for(
        "the background job to stop",
        Duration::from_secs(20),
        || {
            let jobs = screen.sh("jobs")?;
            Ok(jobs.contains("Stopped").then_some(jobs))
        },
    )?;
    ensure!(stopped.contains("forage-ctl shell"), "{stopped}");
    screen.type_in("fg\r")?;
    screen.until("fg\r\n")?;
    screen.type_in("\rexit\r")?;
    screen.until("logout")?;
    screen.until("ready% ")?;
    let after = modes(&mut screen)?;
    ensure!(
        after == before,
        "{before}
{after}"
    );
    Ok(())
}

#[test]
fn the_keys_out_of_a_session() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "end-keys", "claude-key", &[])?;
    let mut screen = shell(testbed, "bob", &["end-keys"])?;
    // One that reads nothing and minds no key.
    screen.type_in("stty raw -echo; printf st''uck; sleep 1000\r")?;
    screen.until("stuck")?;
    screen.type_in("\x03\x1a\x1c")?;
    screen.type_in("\x1d\x1d\x1d")?;
    screen.until("the session was left")?;
    ends(&mut screen, 129)?;
    nothing_left(testbed, &sandbox)
}

#[test]
fn the_sandbox_or_its_session_goes_away() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "end-gone", "claude-key", &[])?;
    let gone = "the sandbox went away";
    // The session's own process.
    let mut screen = shell(testbed, "bob", &["end-gone"])?;
    screen.sh("(trap '' HUP; exec setsid sleep 1000) &")?;
    let shim = testbed.main_pid(&sandbox.unit())?.to_string();
    testbed.run_ok(
        "root",
        &["pkill", "-KILL", "-x", "-P", &shim, "forage-shim"],
    )?;
    screen.until(gone)?;
    ends(&mut screen, 8)?;
    nothing_left(testbed, &sandbox)?;
    // A stop.
    let mut screen = shell(testbed, "bob", &["end-gone"])?;
    ctl_ok(testbed, "bob", &["stop", "end-gone"])?;
    screen.until(gone)?;
    ends(&mut screen, 8)?;
    // Its own root turns it off.
    ctl_ok(testbed, "bob", &["start", "end-gone"])?;
    let mut screen = shell(testbed, "bob", &["end-gone", "-u", "root"])?;
    screen.type_in("systemctl poweroff\r")?;
    screen.until(gone)?;
    ends(&mut screen, 8)?;
    // Everything of it is killed.
    wait_for("the sandbox's end", Duration::from_secs(20), || {
        Ok((sandbox.field("state")? == "stopped").then_some(()))
    })?;
    ctl_ok(testbed, "bob", &["start", "end-gone"])?;
    let mut screen = shell(testbed, "bob", &["end-gone"])?;
    let argv = ["systemctl", "kill", "--signal=KILL", &sandbox.unit()];
    testbed.run_ok("root", &argv)?;
    screen.until(gone)?;
    ends(&mut screen, 8)
}

#[test]
fn the_daemon_is_killed_meanwhile() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _sandbox = Sandbox::up(testbed, "bob", "end-daemon", "claude-key", &[])?;
    let mut screen = shell(testbed, "bob", &["end-daemon"])?;
    testbed.kill_unit(DAEMON)?;
    ensure!(screen.sh("echo still here")? == "still here");
    daemon(testbed, "start")?;
    ensure!(screen.sh("echo still here")? == "still here");
    screen.type_in("exit 5\r")?;
    ends(&mut screen, 5)
}
