//! The logs of runs: what is in them, who reads them, and that nothing can fill the disk with them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::becomes;
use crate::support::{Sandbox, alone, beside_others, ctl, ctl_ok, daemon};

const LOGS: &str = "/var/lib/firefly-forage/logs";

#[test]
fn the_log_of_a_failed_start_is_its_owners() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let up = ctl(testbed, "bob", &["up", "broken", "-t", "broken"])?;
    let sandbox = Sandbox::adopt(testbed, "bob", "broken")?;
    ensure!(up.code() == 8, "{}", up.text());
    ensure!(
        up.stderr.contains("forage-ctl logs broken --start"),
        "{}",
        up.text()
    );
    for arguments in [&["logs", "broken", "--start"][..], &["logs", "broken"]] {
        let log = ctl_ok(testbed, "bob", arguments)?;
        for said in ["checking", "booting", "failed: the container"] {
            ensure!(log.contains(said), "{said} is not in {log}");
        }
    }
    let last = ctl_ok(testbed, "bob", &["logs", "broken", "--start", "-n", "1"])?;
    ensure!(
        last.lines().count() == 1 && last.contains("failed"),
        "{last}"
    );
    // To another user there is no such sandbox, and no such file.
    let other = ctl(testbed, "alice", &["logs", "broken", "--start"])?;
    ensure!(
        other.code() == 3 && other.stdout.is_empty(),
        "{}",
        other.text()
    );
    let file = format!("{LOGS}/{}", sandbox.id);
    for user in ["alice", "bob", "nobody"] {
        ensure!(
            !testbed.run(user, &["cat", &file])?.ok(),
            "{user} reads {file}"
        );
    }
    sandbox.down()?;
    let left = testbed.run_ok("root", &["ls", LOGS])?;
    ensure!(
        !left.contains(file.trim_start_matches(LOGS).trim_matches('/')),
        "{left}"
    );
    Ok(())
}

#[test]
fn a_run_and_the_one_before_it_are_kept() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "kept", "claude-key", &[])?;
    let booted = ctl_ok(testbed, "bob", &["logs", "kept", "--start"])?;
    ensure!(
        booted.contains(" console  ") && booted.contains("running"),
        "{booted}"
    );
    testbed.kill_unit(&sandbox.unit())?;
    becomes(&sandbox, "failed")?;
    ctl_ok(testbed, "bob", &["start", "kept"])?;
    ctl_ok(testbed, "bob", &["stop", "kept"])?;
    let both = ctl_ok(testbed, "bob", &["logs", "kept", "--start"])?;
    ensure!(both.matches("checking").count() == 2, "{both}");
    let killed = both.find("failed: the shim was killed by SIGKILL");
    ensure!(
        killed.is_some() && killed < both.rfind("checking"),
        "{both}"
    );
    ensure!(both.trim_end().ends_with("stopped"), "{both}");
    // A start that is refused puts nothing aside.
    let mode = testbed.run_ok("root", &["stat", "-c", "%a %U %G", LOGS])?;
    ensure!(mode.trim() == "750 root foraged", "{mode}");
    Ok(())
}

#[test]
fn a_flooded_console_fills_neither_disk_nor_memory() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let mut up = testbed
        .command("bob", &["forage-ctl", "up", "flood", "-t", "flood"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    wait_for("the sandbox", Duration::from_secs(20), || {
        let there = ctl(testbed, "bob", &["status", "flood"])?.ok();
        Ok(there.then_some(()))
    })?;
    let sandbox = Sandbox::adopt(testbed, "bob", "flood")?;
    let sizes = || {
        let line = format!(
            "stat -c %s {LOGS}/{id} {LOGS}/{id}.1 2>/dev/null",
            id = sandbox.id
        );
        let text = testbed.sh("root", &line)?.stdout;
        let sizes: Vec<u64> = text.lines().flat_map(str::parse).collect();
        anyhow::Ok(sizes)
    };
    let read = || {
        let io = testbed.main_pid(&sandbox.unit())?;
        let text = testbed.run_ok("root", &["cat", &format!("/proc/{io}/io")])?;
        let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.context("no rchar")?
            .trim()
            .parse::<u64>()
            .context("rchar")
    };
    wait_for("2 MiB of console", Duration::from_secs(60), || {
        Ok((read().unwrap_or(0) > 2 << 20).then_some(()))
    })?;
    let total: u64 = sizes()?.iter().sum();
    ensure!(total < 600 * 1024, "{total} bytes of log");
    let pid = testbed.main_pid(&sandbox.unit())?;
    let status = testbed.run_ok("root", &["cat", &format!("/proc/{pid}/status")])?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = memory.and_then(|text| text.split_whitespace().next());
    let kilobytes: u64 = kilobytes.context("no VmRSS")?.parse()?;
    ensure!(kilobytes < 32 * 1024, "{kilobytes} kB of memory");
    // It still answers.
    testbed.run_ok("root", &["systemctl", "stop", &sandbox.unit()])?;
    up.wait()?;
    let log = ctl_ok(testbed, "bob", &["logs", "flood", "--start"])?;
    ensure!(
        log.contains("bytes of the console were left out"),
        "{}",
        &log[log.len().saturating_sub(300)..]
    );
    sandbox.down()?;
    Ok(())
}

#[test]
fn a_log_is_followed_across_a_restart_of_the_daemon_to_the_end() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "followed", "claude-key", &[])?;
    let mut follower = testbed
        .command(
            "bob",
            &[
                "forage-ctl",
                "logs",
                "followed",
                "--start",
                "-f",
                "-n",
                "1000",
            ],
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(follower.stdout.take().context("no output")?).lines();
    let mut until = |wanted: &str| -> Result<()> {
        for line in lines.by_ref() {
            if line?.contains(wanted) {
                return Ok(());
            }
        }
        anyhow::bail!("the log ended before {wanted:?}")
    };
    until("shim     running")?;
    daemon(testbed, "restart")?;
    let rotate = format!("cd {LOGS}; mv {id} {id}.1", id = sandbox.id);
    testbed.run_ok("root", &["sh", "-c", &rotate])?;
    ctl_ok(testbed, "bob", &["stop", "followed"])?;
    until("stopping")?;
    until("stopped")?;
    ensure!(follower.wait()?.success());
    Ok(())
}

#[test]
fn a_disk_that_takes_no_log_stops_nothing() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let cursor = testbed.journal_cursor()?;
    let mount = format!(
        "mount -t tmpfs -o size=8k,mode=0750 tmpfs {LOGS}; head -c 8192 /dev/zero > {LOGS}/fill; chgrp foraged {LOGS}"
    );
    testbed.run_ok("root", &["sh", "-c", &mount])?;
    let worked = (|| -> Result<()> {
        let sandbox = Sandbox::up(testbed, "bob", "fulldisk", "claude-key", &[])?;
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
        ctl_ok(testbed, "bob", &["logs", "fulldisk", "--start"])?;
        testbed.run_ok("root", &["rm", &format!("{LOGS}/fill")])?;
        ctl_ok(testbed, "bob", &["stop", "fulldisk"])?;
        let log = ctl_ok(testbed, "bob", &["logs", "fulldisk", "--start"])?;
        ensure!(log.trim_end().ends_with("stopped"), "{log}");
        testbed.run_ok("root", &["mount", "-o", "remount,ro", LOGS])?;
        let started = ctl(testbed, "bob", &["start", "fulldisk"])?;
        // A shim that began meanwhile sees a mount of its own, which stays as it is.
        testbed.run_ok("root", &["mount", "-o", "remount,rw", LOGS])?;
        ensure!(started.ok(), "{}", started.text());
        ctl_ok(testbed, "bob", &["stop", "fulldisk"])?;
        sandbox.down()?;
        Ok(())
    })();
    testbed.run_ok("root", &["umount", LOGS])?;
    worked?;
    let entries = testbed.journal(&[&format!("--after-cursor={cursor}"), "FORAGE_EVENT=log"])?;
    ensure!(entries.len() == 2, "{} entries", entries.len());
    Ok(())
}

#[test]
fn a_running_sandbox_is_asked_for_its_own_journal() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "asked", "claude-key", &[])?;
    sandbox.exec_ok(&["logger", "-t", "probe", "words of the agent"])?;
    let shown = ["logs", "asked", "-n", "20"];
    wait_for("the journal's line", Duration::from_secs(20), || {
        let log = ctl_ok(testbed, "bob", &shown)?;
        Ok(log.contains("words of the agent").then_some(()))
    })?;
    let lines = ctl_ok(testbed, "bob", &["logs", "asked", "-n", "1"])?;
    ensure!(lines.lines().count() == 1, "{lines}");
    ensure!(ctl(testbed, "alice", &shown)?.code() == 3);
    // Whoever is root in it may put anything in the place of journalctl.
    let fake = "printf '#!/bin/sh\nprintf \"\\\\033]0;owned\\\\007 \"; env; id -un\n' > /usr/local/bin/journalctl; chmod 755 /usr/local/bin/journalctl";
    ctl_ok(
        testbed,
        "bob",
        &["exec", "-u", "root", "asked", "--", "sh", "-c", fake],
    )?;
    let piped = ctl_ok(testbed, "bob", &shown)?;
    ensure!(
        piped.contains("\x1b]0;owned\x07") && piped.contains("root"),
        "{piped:?}"
    );
    ensure!(
        !piped.contains("ANTHROPIC_API_KEY=sk"),
        "the credential was there"
    );
    let line = "script -qec 'forage-ctl logs asked' /dev/null < /dev/null";
    let terminal = testbed.run_ok("bob", &["sh", "-c", line])?;
    ensure!(
        !terminal.contains('\x1b') && terminal.contains("]0;owned"),
        "{terminal:?}"
    );
    sandbox.down()?;
    Ok(())
}

#[test]
fn a_journal_is_followed_until_the_sandbox_ends() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "ends", "claude-key", &[])?;
    let mut follower = testbed
        .command("bob", &["forage-ctl", "logs", "ends", "-f"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(follower.stdout.take().context("no output")?).lines();
    lines.next().context("it says nothing")??;
    ctl_ok(testbed, "bob", &["stop", "ends"])?;
    let rest: Vec<String> = lines.collect::<std::io::Result<_>>()?;
    let ended = follower.wait_with_output()?;
    ensure!(ended.status.success(), "{ended:?} after {rest:?}");
    ensure!(ended.stderr.is_empty(), "{ended:?}");
    // One that does not run shows what is kept, and says so.
    let stopped = ctl(testbed, "bob", &["logs", "ends", "-f"])?;
    ensure!(
        stopped.ok() && stopped.stderr.contains("does not run"),
        "{}",
        stopped.text()
    );
    ensure!(
        stopped.stdout.trim_end().ends_with("stopped"),
        "{}",
        stopped.text()
    );
    ensure!(ctl(testbed, "bob", &["logs", "none"])?.code() == 3);
    sandbox.down()?;
    Ok(())
}
