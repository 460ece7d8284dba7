//! `exec`: streams, status, signals, and how what it starts is confined.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{DAEMON, Sandbox, beside_others, ctl, daemon};

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
fn who_takes_output_out_of_the_pipe_holds_nobody_up() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "exec-thief", "claude-key", &[])?;
    // It reads what others wrote to its own standard output, and keeps it open.
    let thief = "setsid -f sh -c 'timeout 60 cat /proc/self/fd/3 >/dev/null' 3>&1 >/dev/null 2>&1; \
                 head -c 4000000 /dev/zero; exit 7";
    for _ in 0..5 {
        // The reader of the output is slow enough for the thief to take what it is owed.
        let line = format!(
            "timeout 30 forage-ctl exec exec-thief -- sh -c {} > >(sleep 0.3; cat >/dev/null)",
            word(thief)
        );
        let outcome = testbed.run("bob", &["bash", "-c", &line])?;
        ensure!(outcome.code() == 7, "{outcome:?}");
    }
    sandbox.sh("pkill -x cat; true")?;
    Ok(())
}

/// One word of a shell's.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
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
    daemon(testbed, "restart")?;
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
    testbed.kill_unit(DAEMON)?;
    daemon(testbed, "start")?;
    ensure!(
        sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])? == secret,
        "secrets lost"
    );
    Ok(())
}
