//! A sandbox whose processes are stopped where they stand. The shim is asked as the daemon asks it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::probe::{PROBE, install_probe};
use crate::support::{Sandbox, alone, ctl, ctl_ok, daemon};

/// Has a shim freeze its sandbox or let it go on.
fn ask(testbed: &Testbed, sandbox: &Sandbox, verb: &str) -> Result<()> {
    testbed.run_ok("root", &[PROBE, verb, &sandbox.id])?;
    Ok(())
}

fn becomes(sandbox: &Sandbox, expected: &str) -> Result<()> {
    wait_for(
        &format!("state {expected}"),
        Duration::from_secs(10),
        || Ok((sandbox.field("state")? == expected).then_some(())),
    )
}

/// Runs for ever, and writes to a file now and then: who writes all the time is held up by the disk, and
/// then nothing can stop him.
const WRITE: &str =
    "i=0; while :; do i=$((i + 1)); [ $((i % 1000)) = 0 ] && echo >> /workspace/$0; done";

/// Two programs in a sandbox that never wait, a command's and a service's.
struct Writers<'a> {
    testbed: &'static Testbed,
    sandbox: &'a Sandbox,
}

impl<'a> Writers<'a> {
    fn start(testbed: &'static Testbed, sandbox: &'a Sandbox) -> Result<Self> {
        sandbox.sh(&format!(
            "setsid sh -c '{WRITE}' command </dev/null >/dev/null 2>&1 &"
        ))?;
        let machine = format!("forage-{}", sandbox.id);
        let argv = ["systemd-run", "-q", "-M", &machine, "--uid=agent", "sh"];
        let escaped = WRITE.replace('$', "$$");
        testbed.run_ok("root", &[&argv[..], &["-c", &escaped, "service"]].concat())?;
        let writers = Self { testbed, sandbox };
        writers.go_on(&[0, 0])?;
        Ok(writers)
    }

    /// How much each has written.
    fn written(&self) -> Result<Vec<u64>> {
        let directory = format!("/var/lib/firefly-forage/workspaces/{}", self.sandbox.id);
        let line = format!("cd {directory} && stat -c %s command service || echo 0");
        let sizes = self.testbed.sh("root", &line)?.stdout;
        Ok(sizes.lines().flat_map(str::parse).collect())
    }

    /// Waits until both have written more.
    fn go_on(&self, than: &[u64]) -> Result<()> {
        wait_for("the writers", Duration::from_secs(20), || {
            let now = self.written()?;
            let further = now.len() == 2 && now.iter().zip(than).all(|(now, then)| now > then);
            Ok(further.then_some(()))
        })
    }
}

#[test]
fn what_is_frozen_stands_still_until_it_is_let_go_on() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _probe = install_probe(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "frozen", "claude-key", &[])?;
    let writers = Writers::start(testbed, &sandbox)?;

    ctl_ok(testbed, "bob", &["auth", "revoke", "frozen", "--freeze"])?;
    let stopped = writers.written()?;
    ctl_ok(testbed, "bob", &["wait", "frozen", "--state", "frozen"])?;
    let refused = ctl(testbed, "bob", &["exec", "frozen", "--", "true"])?;
    ensure!(
        refused.code() == 4
            && refused.stderr.contains("frozen")
            && refused.stderr.contains("forage-ctl auth refresh frozen"),
        "{}",
        refused.text()
    );
    let logs = ctl(testbed, "bob", &["logs", "frozen"])?;
    ensure!(
        logs.ok() && logs.stderr.contains("is frozen") && logs.stdout.contains("checking"),
        "{}",
        logs.text()
    );
    // Asked again: nothing changes.
    ask(testbed, &sandbox, "freeze")?;
    daemon(testbed, "restart")?;
    becomes(&sandbox, "frozen")?;
    let listed = ctl_ok(testbed, "bob", &["ps"])?;
    ensure!(listed.contains("frozen"), "{listed}");
    ensure!(writers.written()? == stopped, "something inside ran on");

    ctl_ok(testbed, "bob", &["auth", "refresh", "frozen"])?;
    writers.go_on(&stopped)?;
    becomes(&sandbox, "running")?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    ask(testbed, &sandbox, "thaw")?;

    // A stop ends it where it stands.
    ask(testbed, &sandbox, "freeze")?;
    let stopped = writers.written()?;
    becomes(&sandbox, "frozen")?;
    let stop = ctl(testbed, "bob", &["stop", "frozen"])?;
    ensure!(
        stop.ok() && stop.took < Duration::from_secs(8),
        "{} after {:?}",
        stop.text(),
        stop.took
    );
    ensure!(
        sandbox.field("state")? == "stopped",
        "{}",
        sandbox.status()?
    );
    ensure!(writers.written()? == stopped, "it ran on before it ended");
    ctl_ok(testbed, "bob", &["start", "frozen"])?;
    becomes(&sandbox, "running")?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}

#[test]
fn nothing_is_left_of_a_frozen_sandbox_however_it_ends() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _probe = install_probe(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "icy", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", "icy"])?;
    // What there is of one that has stopped as it should, but for what is made anew with each run.
    let anew = [
        "/run/systemd/nspawn/locks/inode-",
        "/var/lib/firefly-forage/logs/",
    ];
    let before = testbed.inventory()?;
    let unit = sandbox.unit();
    let leader = format!("machinectl show -P Leader forage-{}", sandbox.id);
    let ends = [
        (format!("systemctl stop {unit}"), "stopped"),
        (
            format!("kill -s KILL $(systemctl show -P MainPID {unit})"),
            "failed",
        ),
        (format!("kill -s KILL $({leader})"), "failed"),
        (
            format!("pkill -KILL -x -P $(systemctl show -P MainPID {unit}) systemd-nspawn"),
            "failed",
        ),
    ];
    let mut left = String::new();
    for (line, state) in &ends {
        ctl_ok(testbed, "bob", &["start", "icy"])?;
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent", "before {line}");
        sandbox.sh("setsid sleep 1000 </dev/null >/dev/null 2>&1 &")?;
        ask(testbed, &sandbox, "freeze")?;
        becomes(&sandbox, "frozen")?;
        let done = testbed.sh("root", line)?;
        ensure!(
            done.ok() && done.took < Duration::from_secs(8),
            "{line}: {} after {:?}",
            done.text(),
            done.took
        );
        becomes(&sandbox, state)?;
        // machined hears of the end when the daemon does.
        let nothing = wait_for("nothing that is left", Duration::from_secs(10), || {
            left = testbed.inventory()?.since(&before).to_string();
            let mut lines = left.lines();
            let all = lines.all(|line| anew.iter().any(|path| line.contains(path)));
            Ok(all.then_some(()))
        });
        nothing.with_context(|| format!("{line} left {left}"))?;
    }
    ctl_ok(testbed, "bob", &["start", "icy"])?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}

#[test]
fn a_command_ends_with_its_command_line_also_when_frozen() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "left", "claude-key", &[])?;
    let argv = ["forage-ctl", "exec", "left", "--", "sh", "-c"];
    let command = "echo up; exec sleep 4321";
    let mut session = testbed.command("bob", &[&argv[..], &[command]].concat());
    let mut session = session
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(session.stdout.take().context("no output")?).read_line(&mut line)?;
    ensure!(line == "up\n", "{line:?}");
    ctl_ok(testbed, "bob", &["auth", "revoke", "left", "--freeze"])?;
    session.kill()?;
    session.wait()?;
    wait_for("the end of the command", Duration::from_secs(10), || {
        let there = testbed.sh("root", "pgrep -fx 'sleep 4321'")?.ok();
        Ok((!there).then_some(()))
    })?;
    ctl_ok(testbed, "bob", &["auth", "refresh", "left"])?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}
