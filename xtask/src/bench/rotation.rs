//! How soon a changed credential is in the sandboxes that run.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use forage_tests::testbed::Testbed;

use super::figures::{Table, median};

const MANY: usize = 50;
const STORES: usize = 30;
const CHANGES: usize = 30;
const SECRET: &str = "/etc/forage-secrets/anthropic";

/// A stored token, with one running sandbox and with many. `b1` runs already and is left running.
pub(super) fn rotation(testbed: &Testbed, table: &mut Table) -> Result<()> {
    let what = "rotation, 1 running sandbox";
    table.report(what, "ms", stores(testbed, 1)?, 10.0);
    let others = format!("$(seq -f b%g 2 {MANY})");
    let up = format!(
        "for name in {others}; do forage-ctl up $name -t claude >/dev/null & all+=($!); done; \
         for one in ${{all[@]}}; do wait $one || exit; done"
    );
    testbed.run_ok("alice", &["bash", "-c", &up])?;
    let what = format!("rotation, {MANY} running sandboxes");
    table.report(&what, "ms", stores(testbed, MANY)?, 100.0);
    let down = format!("forage-ctl down --delete-workspace {others}");
    testbed.run_ok("alice", &["bash", "-c", &down])?;
    Ok(())
}

/// Milliseconds of a `token store`, which ends when every sandbox has said that the token is visible
/// inside. Each is looked into afterwards.
fn stores(testbed: &Testbed, sandboxes: usize) -> Result<f64> {
    let script = format!(
        "letters=abcdefghijklmnopqrst; printf -v zeros %095d 0; \
         for ((i = 0; i < {STORES}; i++)); do \
         token=sk-ant-oat01-${{zeros//0/${{letters:i % 20:1}}}}; printf %s $token >~/token; \
         began=$EPOCHREALTIME; forage-ctl claude token store - <~/token >/dev/null || exit; \
         echo $((${{EPOCHREALTIME/./}} - ${{began/./}})); \
         for ((k = {sandboxes}; k > 0; k--)); do \
         forage-ctl exec b$k -- grep -qx $token /run/secrets/claude-oauth-token || exit; \
         done; done"
    );
    let output = testbed.run_ok("alice", &["bash", "-c", &script])?;
    let times: Vec<f64> = output
        .lines()
        .map(|line| line.parse::<f64>().map(|micros| micros / 1000.0))
        .collect::<Result<_, _>>()
        .with_context(|| format!("no times in {output:?}"))?;
    ensure!(times.len() == STORES, "{} stores", times.len());
    median(times)
}

/// Looks until the secret is another one than it was, at most a millisecond apart, and tells when that
/// was.
const WATCH: &str = "exec 3<>/dev/ptmx; was=$(</run/secrets/anthropic); echo watching; \
    until [[ $(</run/secrets/anthropic) != \"$was\" ]]; do read -r -t 0.001 -u 3; done; \
    echo $EPOCHREALTIME";

/// A secret's file that is replaced, as a sandbox sees it.
pub(super) fn secret(testbed: &Testbed, table: &mut Table) -> Result<()> {
    testbed.run_ok("alice", &["forage-ctl", "up", "key", "-t", "claude-key"])?;
    let mut times = Vec::new();
    for number in 0..CHANGES {
        times.push(change(testbed, number)?);
    }
    table.report("secret-file change to visible", "ms", median(times)?, 100.0);
    testbed.run_ok("alice", &["forage-ctl", "down", "key"])?;
    Ok(())
}

fn change(testbed: &Testbed, number: usize) -> Result<f64> {
    let argv = ["forage-ctl", "exec", "key", "--", "bash", "-c", WATCH];
    let mut watcher = testbed
        .command("alice", &argv)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("nothing watches")?;
    let stdout = watcher.stdout.take().context("the watcher says nothing")?;
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next().context("the watcher ended")??;
    ensure!(first == "watching", "the watcher says {first:?}");
    let replace = format!(
        "umask 077; printf sk-ant-api03-{number} >{SECRET}.new; echo $EPOCHREALTIME; \
         mv {SECRET}.new {SECRET}"
    );
    let began = testbed.run_ok("root", &["bash", "-c", &replace])?;
    let seen = lines.next().context("the watcher saw nothing")??;
    watcher.wait()?;
    let (began, seen): (f64, f64) = (began.trim().parse()?, seen.parse()?);
    Ok((seen - began) * 1000.0)
}
