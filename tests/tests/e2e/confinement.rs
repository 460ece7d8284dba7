//! How what runs in a sandbox is confined: by `exec`, and as the sandbox's own root.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, beside_others};

/// System calls by number (x86-64), made with arguments that can do nothing: those systemd-nspawn
/// refuses, those it allows, one of a foreign kind (x32), one nobody knows. Prints each errno.
const PROBE: &str = "use strict; for my $n (101, 153, 155, 161, 163, 164, 165, 167, 172, 173, 174, \
175, 176, 179, 180, 206, 212, 246, 248, 249, 250, 298, 300, 303, 304, 305, 308, 310, 311, 313, \
320, 321, 323, 424, 425, 428, 429, 430, 434, 438, 442, 443, 447, 448, 462, 1073741863, 9999) \
{ $! = 0; syscall($n, -1, 0, 0, 0, 0); print $n, ' ', $! + 0, \"\\n\" } \
socket(my $s, 16, 3, 9) or print 'audit ', $! + 0, \"\\n\";";

/// A tree, and a system from the store.
const TEMPLATES: [&str; 2] = ["claude-key", "store-key"];

#[test]
fn exec_is_refused_every_call_a_service_inside_is_refused() -> Result<()> {
    TEMPLATES.into_iter().try_for_each(calls)
}

fn calls(template: &str) -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    if !cfg!(target_arch = "x86_64") {
        return forage_tests::skip::skip(
            "system call probe",
            "it knows x86-64 only",
            forage_tests::skip::CanRun::Elsewhere,
        );
    }
    let sandbox = Sandbox::up(testbed, "bob", "exec-calls", template, &[])?;
    let service = sandbox.as_service("agent", &["perl", "-e", PROBE])?.stdout;
    let ours = sandbox.exec_ok(&["perl", "-e", PROBE])?;
    let refused = service.lines().filter(|line| line.ends_with(" 1")).count();
    ensure!(refused > 15, "the probe probes nothing: {service}");
    for (theirs, ours) in service.lines().zip(ours.lines()) {
        // A call that is refused there must be refused here; we may refuse more.
        ensure!(
            theirs == ours || ours.ends_with(" 1"),
            "a service: {theirs}, exec: {ours}"
        );
    }
    ensure!(
        service.lines().count() == ours.lines().count(),
        "{service}{ours}"
    );
    Ok(())
}

#[test]
fn the_command_is_confined_like_process_1() -> Result<()> {
    TEMPLATES.into_iter().try_for_each(confined)
}

fn confined(template: &str) -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-conf", template, &[])?;
    let field = |status: &str, key: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(&format!("{key}:")));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or_default()
            .to_owned()
    };
    let ours = sandbox.exec_ok(&["cat", "/proc/self/status"])?;
    let leader = testbed.run_ok(
        "root",
        &[
            "machinectl",
            "show",
            "-p",
            "Leader",
            "--value",
            &format!("forage-{}", sandbox.id),
        ],
    )?;
    let theirs = testbed.run_ok("root", &["cat", &format!("/proc/{}/status", leader.trim())])?;
    ensure!(
        field(&ours, "NoNewPrivs") == "1" && field(&ours, "Seccomp") == "2",
        "{ours}"
    );
    let count = |status: &str| {
        field(status, "Seccomp_filters")
            .parse::<u32>()
            .unwrap_or_default()
    };
    ensure!(
        count(&ours) >= count(&theirs) && count(&theirs) > 0,
        "{ours}\n{theirs}"
    );
    let bits =
        |status: &str, key: &str| u64::from_str_radix(&field(status, key), 16).unwrap_or(u64::MAX);
    ensure!(
        bits(&ours, "CapBnd") & !bits(&theirs, "CapBnd") == 0,
        "{ours}\n{theirs}"
    );
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        ensure!(bits(&ours, set) == 0, "{set}: {ours}");
    }
    ensure!(
        field(&ours, "Uid") == "1000"
            && field(&ours, "Groups").is_empty() | (field(&ours, "Groups") == "1000"),
        "{ours}"
    );
    let map = sandbox.exec_ok(&["cat", "/proc/self/uid_map"])?;
    let map: Vec<u64> = map
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    ensure!(
        map.len() == 3 && map[0] == 0 && map[1] >= 0x7000_0000 && map[2] == 65536,
        "{map:?}"
    );
    let fds = sandbox.exec_ok(&["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"])?;
    ensure!(
        fds.split_whitespace()
            .all(|fd| ["0", "1", "2", "3"].contains(&fd)),
        "{fds}"
    );
    let namespaces = |pid: &str| {
        testbed.sh(
            "root",
            &format!(
                "for n in user mnt uts ipc net pid cgroup; do readlink /proc/{pid}/ns/$n; done"
            ),
        )
    };
    let inside = sandbox
        .sh("for n in user mnt uts ipc net pid cgroup; do readlink /proc/self/ns/$n; done")?;
    ensure!(
        namespaces(leader.trim())?.stdout.trim() == inside,
        "{inside}"
    );
    Ok(())
}

#[test]
fn root_of_the_sandbox_cannot_touch_the_workspace_or_the_secrets() -> Result<()> {
    TEMPLATES.into_iter().try_for_each(as_root)
}

fn as_root(template: &str) -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-root", template, &[])?;
    let inside = |line: &str| sandbox.as_service("root", &["sh", "-c", line]);
    ensure!(inside("id -u")?.stdout.trim() == "0");
    for line in [
        "touch /workspace/by-root",
        "cp /bin/true /workspace/suid && chmod u+s /workspace/suid",
        "mknod /workspace/null c 1 3",
        "echo x > /run/secrets/anthropic",
        "rm /run/secrets/anthropic",
        "mount -o remount,rw /run/secrets && touch /run/secrets/x",
    ] {
        let outcome = inside(line)?;
        ensure!(!outcome.ok(), "{line} worked");
    }
    let found = testbed.run_ok(
        "root",
        &["find", &sandbox.field("workspace")?, "-mindepth", "1"],
    )?;
    ensure!(found.is_empty(), "{found}");
    let mount = sandbox.sh("grep ' /workspace ' /proc/self/mountinfo")?;
    ensure!(
        mount.contains("nosuid") && mount.contains("nodev") && mount.contains("idmapped"),
        "{mount}"
    );
    Ok(())
}
