//! What is measured. Times are taken inside the host, so that entering it is not part of them.

use anyhow::{Context, Result, bail};
use forage_tests::testbed::Testbed;

use super::figures::{Table, median};

const STARTS: usize = 15;
const EXECS: usize = 30;

/// The same root, prepared the same way, booted by plain systemd-nspawn with the same flags.
const PLAIN: &str = include_str!("plain-nspawn.sh");

/// A token and a repository, and the script the start is compared with.
pub(super) fn set_up(testbed: &Testbed) -> Result<()> {
    testbed.write_file("/root/plain-nspawn", "root", "0755", PLAIN.as_bytes())?;
    store(testbed, 'a')?;
    testbed.run_ok("alice", &["git", "init", "--quiet", "/home/alice/repo"])?;
    Ok(())
}

/// `up` until the sandbox is ready, of a tree and of a system in the store. Both kinds of start take
/// turns.
pub(super) fn up(testbed: &Testbed, table: &mut Table) -> Result<()> {
    let system = testbed.run_ok("root", &["readlink", "/nix/var/nix/gcroots/testbed"])?;
    for (what, template, system) in [
        ("up to ready", "claude", ""),
        ("up to ready, from the store", "store", system.trim()),
    ] {
        let (ours, plain) = starts(testbed, template, system)?;
        table.compare(what, "ms", ours, ("systemd-nspawn", plain), 1.10);
    }
    Ok(())
}

fn starts(testbed: &Testbed, template: &str, system: &str) -> Result<(f64, f64)> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let start = format!("forage-ctl up b1 -t {template} --repo ~/repo");
        ours.push(timed(testbed, "alice", &start, 1)?[0]);
        testbed.run_ok("alice", &["forage-ctl", "down", "b1"])?;
        let start = format!(
            "systemd-run --quiet --unit=plain --slice=machine.slice -p Type=notify \
             -p NotifyAccess=all -p Delegate=yes -p DelegateSubgroup=supervisor \
             -p KillMode=mixed /root/plain-nspawn {system}"
        );
        plain.push(timed(testbed, "root", &start, 1)?[0]);
        testbed.run_ok("root", &["systemctl", "stop", "plain.service"])?;
    }
    Ok((median(ours)?, median(plain)?))
}

/// A command in a running sandbox. Leaves the sandbox `b1` running for what follows.
pub(super) fn exec(testbed: &Testbed, table: &mut Table) -> Result<()> {
    testbed.run_ok("alice", &["forage-ctl", "up", "b1", "-t", "claude"])?;
    let machine = machine(testbed)?;
    let ours = median(timed(
        testbed,
        "alice",
        "forage-ctl exec b1 -- true",
        EXECS,
    )?)?;
    let run = format!("systemd-run --quiet -M {machine} --wait --pipe true");
    let run = median(timed(testbed, "root", &run, EXECS)?)?;
    let shell = format!("machinectl --quiet shell {machine} /bin/true");
    let shell = median(timed(testbed, "root", &shell, EXECS)?)?;
    table.compare("exec -- true", "ms", ours, ("systemd-run", run), 0.25);
    table.compare(
        "exec -- true",
        "ms",
        ours,
        ("machinectl shell", shell),
        0.15,
    );
    Ok(())
}

/// The memory of the daemon and of one shim.
pub(super) fn memory(testbed: &Testbed, table: &mut Table) -> Result<()> {
    let unit = sandbox_unit(testbed)?;
    let daemon = resident(testbed, "firefly-forage.service")?;
    table.report("foraged, resident", "MiB", daemon, 10.0);
    table.report("one shim, resident", "MiB", resident(testbed, &unit)?, 3.0);
    Ok(())
}

/// `stop` of a running sandbox.
pub(super) fn stop(testbed: &Testbed, table: &mut Table) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(timed(testbed, "alice", "forage-ctl stop b1", 1)?[0]);
        testbed.run_ok("alice", &["forage-ctl", "start", "b1"])?;
    }
    testbed.run_ok("alice", &["forage-ctl", "down", "b1"])?;
    table.report("stop", "ms", median(times)?, 500.0);
    Ok(())
}

/// Milliseconds a line of shell takes, each time.
pub(super) fn timed(testbed: &Testbed, user: &str, line: &str, times: usize) -> Result<Vec<f64>> {
    let script = format!(
        "for ((i = 0; i < {times}; i++)); do began=$EPOCHREALTIME; \
         {line} </dev/null >/dev/null || exit; \
         echo $((${{EPOCHREALTIME/./}} - ${{began/./}})); done"
    );
    let output = testbed.run_ok(user, &["bash", "-c", &script])?;
    let samples = output
        .lines()
        .map(|line| line.parse::<f64>().map(|micros| micros / 1000.0));
    samples
        .collect::<Result<_, _>>()
        .with_context(|| format!("no times in {output:?}"))
}

fn store(testbed: &Testbed, letter: char) -> Result<()> {
    let argv = ["forage-ctl", "claude", "token", "store", "-"];
    let outcome = testbed.run_with_input("alice", &argv, token(letter).as_bytes())?;
    if !outcome.ok() {
        bail!("cannot store a token: {}", outcome.text());
    }
    Ok(())
}

fn token(letter: char) -> String {
    format!("sk-ant-oat01-{}", letter.to_string().repeat(95))
}

pub(super) fn machine(testbed: &Testbed) -> Result<String> {
    let list = testbed.run_ok("root", &["machinectl", "list", "--no-legend"])?;
    let name = list
        .split_whitespace()
        .find(|word| word.starts_with("forage-"));
    Ok(name
        .context("no sandbox is registered as a machine")?
        .to_owned())
}

fn sandbox_unit(testbed: &Testbed) -> Result<String> {
    let argv = [
        "systemctl",
        "list-units",
        "--plain",
        "--no-legend",
        "forage-sandbox@*.service",
    ];
    let list = testbed.run_ok("root", &argv)?;
    Ok(list
        .split_whitespace()
        .next()
        .context("no sandbox runs")?
        .to_owned())
}

/// Mebibytes of a unit's main process that are in memory.
pub(super) fn resident(testbed: &Testbed, unit: &str) -> Result<f64> {
    let pid = testbed.main_pid(unit)?;
    let status = testbed.run_ok("root", &["cat", &format!("/proc/{pid}/status")])?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.with_context(|| format!("how much memory does {unit} use?"))? / 1024.0)
}
