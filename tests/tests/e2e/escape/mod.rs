//! What can be reached from inside a sandbox, compared with what was looked at and found harmless: a
//! probe runs as the agent and as the sandbox's root, by every way there is in. Run with
//! `FORAGE_UPDATE_SNAPSHOTS=1` to take what is found now for right, and read the difference first.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use forage_tests::testbed::{Testbed, repository};

use crate::support::{Sandbox, Undo, alone};

const PROBE: &str = include_str!("probe.pl");

/// On the host: a process to be seen, and an abstract socket to be reached.
const CANARY: &str = "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
    bind($s, sockaddr_un(\"\\0forage-escape-canary\")) or die; listen($s, 5); sleep 100000";

/// Compares what was found with what is committed.
fn compare(name: &str, found: &str) -> Result<()> {
    let path = repository().join(format!("tests/tests/e2e/escape/golden/{name}.txt"));
    if std::env::var_os("FORAGE_UPDATE_SNAPSHOTS").is_some() {
        return fs::write(&path, found).with_context(|| format!("cannot write {}", path.display()));
    }
    let expected = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    if found == expected {
        return Ok(());
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (expected.lines().collect(), found.lines().collect());
    let gone = old.difference(&new).map(|line| format!("-{line}\n"));
    let more = new.difference(&old).map(|line| format!("+{line}\n"));
    let difference: String = gone.chain(more).collect();
    bail!("{name} finds something else than golden/{name}.txt has:\n{difference}")
}

#[test]
fn nothing_is_reached_that_was_not_looked_at() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    if !cfg!(target_arch = "x86_64") {
        return forage_tests::skip::skip(
            "escape probe",
            "it knows x86-64 only",
            forage_tests::skip::CanRun::Elsewhere,
        );
    }
    let _canary = Undo::new(testbed, "systemctl stop escape-canary");
    let canary = [
        "systemd-run",
        "-q",
        "--unit=escape-canary",
        "perl",
        "-e",
        CANARY,
        "escape-marker",
    ];
    testbed.run_ok("root", &canary)?;
    let host_id = testbed.run_ok("root", &["cat", "/etc/machine-id"])?;
    let host_id = format!("HOST_MACHINE_ID={}", host_id.trim());
    // A probe that finds nothing where there is something proves nothing.
    let own = testbed.run_ok("alice", &["env", &host_id, "perl", "-e", PROBE])?;
    for fact in [
        "host-process seen",
        "host-abstract-socket works",
        "bus-is-the-hosts yes",
    ] {
        ensure!(
            own.lines().any(|line| line == fact),
            "on the host there is no {fact}: {own}"
        );
    }
    let _other = Sandbox::up(testbed, "alice", "escape-other", "claude-key", &[])?;
    let sandbox = Sandbox::up(testbed, "bob", "escape", "escape", &[])?;
    let machine = format!("forage-{}", sandbox.id);
    let setenv = format!("--setenv={host_id}");
    let exec = ["forage-ctl", "exec", "escape", "-e", &host_id];
    let service = [
        "systemd-run",
        "-M",
        &machine,
        "--wait",
        "--pipe",
        "-q",
        &setenv,
    ];
    let ways: [(&str, &str, &[&str], &[&str]); 5] = [
        ("exec-agent", "bob", &exec, &["--", "perl"]),
        ("exec-root", "bob", &exec, &["-u", "root", "--", "perl"]),
        (
            "wrapper-agent",
            "bob",
            &exec,
            &["--", "/run/forage/bin/probe"],
        ),
        ("service-agent", "root", &service, &["--uid=agent", "perl"]),
        ("service-root", "root", &service, &["perl"]),
    ];
    let mut problems = Vec::new();
    for (name, user, way, rest) in ways {
        let argv = [way, rest, &["-e", PROBE]].concat();
        let outcome = testbed.run(user, &argv)?;
        ensure!(outcome.ok(), "{name}: {}", outcome.stderr);
        ensure!(
            outcome.stdout.lines().count() > 100,
            "{name}: {}",
            outcome.text()
        );
        if let Err(problem) = compare(name, &outcome.stdout) {
            problems.push(format!("{problem:#}"));
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}
