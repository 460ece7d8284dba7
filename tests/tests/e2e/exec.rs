//! `exec`: streams, status, signals, and how what it starts is confined.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, beside_others, ctl};

#[test]
fn streams_status_directory_and_variables() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-io", "claude-key", &[])?;
    let argv = [
        "forage-ctl",
        "exec",
        "exec-io",
        "--",
        "sh",
        "-c",
        "cat; echo err >&2; exit 7",
    ];
    let outcome = testbed.run_with_input("bob", &argv, b"in")?;
    ensure!(
        (outcome.code(), &*outcome.stdout, &*outcome.stderr) == (7, "in", "err\n"),
        "{outcome:?}"
    );
    for (command, code) in [
        (&["sh", "-c", "kill -TERM $$"][..], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
        (&["false"], 1),
    ] {
        let outcome = sandbox.exec(command)?;
        ensure!(outcome.code() == code, "{command:?}: {}", outcome.text());
    }
    let run = |arguments: &[&str]| ctl(testbed, "bob", arguments);
    let out = run(&[
        "exec",
        "exec-io",
        "-e",
        "A=b c",
        "-w",
        "/tmp",
        "--",
        "sh",
        "-c",
        "echo $A; pwd; id -un",
    ])?;
    ensure!(out.stdout == "b c\n/tmp\nagent\n", "{}", out.text());
    ensure!(sandbox.exec_ok(&["pwd"])? == "/workspace");
    let odd = "a b\n$(id) ; \\ \"'`*";
    ensure!(sandbox.exec_ok(&["printf", "%s", odd])? == odd);
    // Bytes pass unchanged, many of them, both ways at once.
    let line = "head -c 20000000 /dev/urandom > ~/in; forage-ctl exec exec-io -- cat < ~/in | cmp - ~/in && rm ~/in";
    let copied = testbed.sh("bob", line)?;
    ensure!(copied.ok(), "{}", copied.text());
    // A reader that goes away ends the writer.
    let gone = testbed.sh("bob", "forage-ctl exec exec-io -- yes | head -n 1")?;
    ensure!(gone.stdout == "y\n", "{}", gone.text());
    Ok(())
}

#[test]
fn signals_reach_the_command() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "exec-sig", "claude-key", &[])?;
    let script = "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    let mut child = testbed
        .command(
            "bob",
            &["forage-ctl", "exec", "exec-sig", "--", "bash", "-c", script],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().context("stdout")?;
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready)?;
    testbed.run_ok(
        "root",
        &[
            "pkill",
            "-INT",
            "-x",
            "-f",
            "forage-ctl exec exec-sig -- bash.*",
        ],
    )?;
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    ensure!(rest == "got\n" && child.wait()?.code() == Some(9), "{rest}");
    Ok(())
}

#[test]
fn a_killed_client_leaves_nothing_running() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-gone", "claude-key", &[])?;
    let mut child = testbed
        .command(
            "bob",
            &[
                "forage-ctl",
                "exec",
                "exec-gone",
                "--",
                "sh",
                "-c",
                "echo up; trap '' HUP; sleep 12345",
            ],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child
        .stdout
        .take()
        .context("stdout")?
        .read_exact(&mut [0; 3])?;
    testbed.run_ok(
        "root",
        &[
            "pkill",
            "-KILL",
            "-x",
            "-f",
            "forage-ctl exec exec-gone -- sh.*",
        ],
    )?;
    child.wait()?;
    forage_tests::testbed::wait_for(
        "the command's end",
        std::time::Duration::from_secs(10),
        || {
            let left = sandbox.exec(&["pgrep", "-f", "sleep 12345"])?;
            Ok((left.code() == 1).then_some(()))
        },
    )
}

#[test]
fn the_command_is_confined_like_process_1() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-conf", "claude-key", &[])?;
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
    // What the filter of systemd-nspawn refuses is refused here too.
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
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-root", "claude-key", &[])?;
    let machine = format!("forage-{}", sandbox.id);
    let inside = |line: &str| {
        testbed.run(
            "root",
            &[
                "systemd-run",
                "-M",
                &machine,
                "--wait",
                "--pipe",
                "--quiet",
                "sh",
                "-c",
                line,
            ],
        )
    };
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

#[test]
fn a_session_outlives_a_restart_of_the_daemon() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = crate::support::alone();
    let sandbox = Sandbox::up(testbed, "bob", "exec-on", "claude-key", &[])?;
    let mut child = testbed
        .command("bob", &["forage-ctl", "exec", "exec-on", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut stdin, mut stdout) = (
        child.stdin.take().context("in")?,
        child.stdout.take().context("out")?,
    );
    let mut buffer = [0; 4];
    stdin.write_all(b"one\n")?;
    stdout.read_exact(&mut buffer)?;
    let secret = sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])?;
    testbed.run_ok("root", &["systemctl", "restart", "firefly-forage.service"])?;
    stdin.write_all(b"two\n")?;
    stdout.read_exact(&mut buffer)?;
    ensure!(&buffer == b"two\n");
    drop(stdin);
    ensure!(child.wait()?.success());
    ensure!(sandbox.field("state")? == "running", "not adopted");
    ensure!(
        sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])? == secret,
        "secrets changed"
    );
    let pid = testbed.main_pid("firefly-forage.service")?;
    testbed.kill(pid, "KILL")?;
    testbed.run_ok("root", &["systemctl", "start", "firefly-forage.service"])?;
    ensure!(
        sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])? == secret,
        "secrets lost"
    );
    Ok(())
}
