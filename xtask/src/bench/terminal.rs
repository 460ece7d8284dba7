//! Terminals and pipes, beside systemd's own ways into the same container.

use std::time::Instant;

use anyhow::{Context, Result};
use forage_tests::terminal::Screen;
use forage_tests::testbed::Testbed;

use super::figures::{Table, median};
use super::rows::{machine, timed};

const SHELLS: usize = 15;
const SESSIONS: usize = 7;
const KEYS: usize = 300;
const COPIES: usize = 9;
const COPIED: u32 = 1024;

/// A terminal that gives back each key as it comes.
const ECHO: &str = "stty raw -echo; echo go; exec cat";

/// Measures in the running sandbox `b1`.
pub(super) fn all(testbed: &Testbed, table: &mut Table) -> Result<()> {
    let machine = machine(testbed)?;
    shell(testbed, table, &machine)?;
    key(testbed, table, &machine)?;
    copy(testbed, table, &machine)
}

/// From the command to a prompt.
fn shell(testbed: &Testbed, table: &mut Table, machine: &str) -> Result<()> {
    let agent = format!("agent@{machine}");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..SHELLS {
        ours.push(prompt(testbed, "alice", &["forage-ctl", "shell", "b1"])?);
        let argv = ["machinectl", "--quiet", "shell", &agent];
        theirs.push(prompt(testbed, "root", &argv)?);
    }
    let theirs = ("machinectl shell", median(theirs)?);
    table.compare("shell to prompt", "ms", median(ours)?, theirs, 0.6);
    Ok(())
}

fn prompt(testbed: &Testbed, user: &str, argv: &[&str]) -> Result<f64> {
    let began = Instant::now();
    let mut screen = Screen::run(testbed, user, argv)?;
    screen.until("$ ")?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    screen.type_in("exit\r")?;
    screen.wait()?;
    Ok(took)
}

/// From a key to what it shows. Which processors a session's processes find themselves on makes more
/// of a difference than what they do, so there are several sessions, and the best of each kind counts.
fn key(testbed: &Testbed, table: &mut Table, machine: &str) -> Result<()> {
    let ours = ["forage-ctl", "exec", "-t", "b1", "--", "sh", "-c", ECHO];
    let theirs = [
        "systemd-run",
        "--quiet",
        "-M",
        machine,
        "--pty",
        "sh",
        "-c",
        ECHO,
    ];
    let (mut mine, mut other) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..SESSIONS {
        mine = mine.min(round_trip(testbed, "alice", &ours)?);
        other = other.min(round_trip(testbed, "root", &theirs)?);
    }
    let theirs = ("systemd-run --pty", other);
    table.compare("a key, there and back", "us", mine, theirs, 1.5);
    Ok(())
}

/// The median of one session.
fn round_trip(testbed: &Testbed, user: &str, argv: &[&str]) -> Result<f64> {
    let mut screen = Screen::run(testbed, user, argv)?;
    screen.until("go\n")?;
    let mut times = Vec::new();
    for number in 0..KEYS {
        let key = format!("{number:03}");
        let began = Instant::now();
        screen.type_in(&key)?;
        screen.until(&key)?;
        times.push(began.elapsed().as_secs_f64() * 1_000_000.0);
    }
    median(times)
}

/// Bytes through `cat` in the sandbox. Both get pipes: systemd hands them to the service as they are.
fn copy(testbed: &Testbed, table: &mut Table, machine: &str) -> Result<()> {
    let through = |command: &str| {
        format!(
            "{{ dd if=/dev/zero bs=1M count={COPIED} status=none | {command} | \
             dd of=/dev/null bs=1M status=none; }}"
        )
    };
    let ours = through("forage-ctl exec b1 -- cat");
    let theirs = through(&format!("systemd-run --quiet -M {machine} --pipe cat"));
    let (mut mine, mut other) = (Vec::new(), Vec::new());
    for _ in 0..COPIES {
        mine.extend(timed(testbed, "alice", &ours, 1).context("exec")?);
        other.extend(timed(testbed, "root", &theirs, 1).context("systemd-run")?);
    }
    let what = format!("exec -- cat, {COPIED} MiB");
    let theirs = ("systemd-run --pipe", median(other)?);
    table.compare(&what, "ms", median(mine)?, theirs, 0.5);
    Ok(())
}
