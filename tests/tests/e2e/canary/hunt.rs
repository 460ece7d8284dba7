//! Where a canary is looked for.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::Sandbox;

/// Watches every process's command line as `nobody`, who may read them all.
const WATCH_ARGV: &str = "while [ ! -e /tmp/canary-stop ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -a CANAR[Y] ; done";

fn whole(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Does something, while command lines, the bus and the journal are watched: nothing of a canary goes by.
pub(super) fn watched(testbed: &Testbed, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let cursor = testbed.journal_cursor()?;
    testbed.sh("root", "rm -f /tmp/canary-stop")?;
    let mut bus = tempfile::tempfile()?;
    let mut monitor = testbed
        .command("root", &["busctl", "monitor", "--system", "--json=short"])
        .stdin(Stdio::null())
        .stdout(bus.try_clone()?)
        .spawn()
        .context("the bus is not watched")?;
    let mut seen = tempfile::tempfile()?;
    let mut watcher = testbed
        .command("nobody", &["sh", "-c", WATCH_ARGV])
        .stdin(Stdio::null())
        .stdout(seen.try_clone()?)
        .spawn()
        .context("command lines are not watched")?;
    let worked = work();
    testbed.run_ok("root", &["touch", "/tmp/canary-stop"])?;
    watcher.wait()?;
    monitor.kill()?;
    monitor.wait()?;
    worked?;
    let argv = whole(&mut seen)?;
    ensure!(argv.trim().is_empty(), "in a command line: {argv}");
    let said = whole(&mut bus)?;
    ensure!(
        said.contains("org.firefly.Forage1"),
        "the bus was not watched"
    );
    ensure!(!said.contains("CANARY"), "on the bus");
    let journal = testbed.journal(&[&format!("--after-cursor={cursor}")])?;
    ensure!(!journal.is_empty());
    for entry in journal {
        ensure!(
            !entry.to_string().contains("CANARY"),
            "in the journal: {entry}"
        );
    }
    let dumps = testbed.sh(
        "root",
        "grep -r -l CANAR[Y] /var/lib/systemd/coredump /var/crash /core* 2>/dev/null",
    )?;
    ensure!(dumps.stdout.is_empty(), "in a core dump: {}", dumps.stdout);
    Ok(())
}

/// Looks while the sandbox runs.
pub(super) fn hunt(testbed: &Testbed, sandbox: &Sandbox) -> Result<()> {
    let machine = format!("forage-{}", sandbox.id);
    // As nobody: units, machines, transient files, everything on the daemon's bus object.
    let looks = [
        format!("systemctl show --all {}", sandbox.unit()),
        "systemctl show --all firefly-forage.service".to_owned(),
        "systemctl show-environment".to_owned(),
        format!("systemctl status --no-pager {}", sandbox.unit()),
        format!("machinectl status --no-pager {machine}"),
        "cat /run/systemd/transient/* /run/systemd/units/* /run/systemd/machines/*".to_owned(),
        "cat /proc/[0-9]*/environ".to_owned(),
        "find / -xdev -type f -readable -newer /etc/machine-id -size -1000k -not -path '/proc/*' -not -path '/sys/*' -exec grep -l CANAR[Y] {} +".to_owned(),
        "find /run /tmp /var /home -type f -readable -exec grep -l CANAR[Y] {} +".to_owned(),
    ];
    for user in ["nobody", "bob"] {
        for look in &looks {
            let seen = testbed.sh(user, &format!("({look}) 2>/dev/null | tr '\\0' '\\n' | grep -a -e CANAR[Y] -e '^/' | head -n 3"))?;
            let lines: Vec<&str> = seen
                .stdout
                .lines()
                .filter(|line| line.contains("CANARY") || look.starts_with("find"))
                .collect();
            ensure!(lines.is_empty(), "{user} sees it with {look}: {lines:?}");
        }
    }
    // As root: no process of the host carries it in its environment or arguments, no record, no
    // report and no unit file has it.
    let own = testbed.sh("root", "for p in /proc/[0-9]*; do [ \"$(readlink $p/ns/user)\" = \"$(readlink /proc/1/ns/user)\" ] && cat $p/environ $p/cmdline 2>/dev/null; done | tr '\\0' '\\n' | grep -a CANAR[Y]")?;
    ensure!(
        own.stdout.is_empty(),
        "in a process of the host: {}",
        own.stdout
    );
    let files = testbed.sh("root", &format!("test -s /var/lib/firefly-forage/logs/{} || echo no log; grep -r -l CANAR[Y] /var/lib/firefly-forage/sandboxes /var/lib/firefly-forage/logs /run/firefly-forage/result /run/systemd /etc/systemd /run/log /var/log 2>/dev/null", sandbox.id))?;
    ensure!(files.stdout.is_empty(), "in {}", files.stdout);
    // What may have it does, and is nobody else's.
    let modes = testbed.run_ok("root", &["sh", "-c", &format!("find /run/firefly-forage/secrets/{0} -type f -exec stat -c '%a' {{}} +; stat -c '%a' /run/firefly-forage/secrets", sandbox.id)])?;
    ensure!(
        modes.lines().all(|mode| ["400", "700"].contains(&mode)),
        "{modes}"
    );
    let mount = testbed.run_ok(
        "root",
        &[
            "findmnt",
            "-n",
            "-o",
            "OPTIONS",
            "/run/firefly-forage/secrets",
        ],
    )?;
    for option in ["nosuid", "nodev", "noexec", "noswap"] {
        ensure!(mount.contains(option), "{mount}");
    }
    Ok(())
}
