//! Two hundred who list at once, with a thousand records, of which each sees its own sixty.

use anyhow::{Context, Result};
use forage_tests::testbed::{Binaries, Testbed};

use super::figures::Table;

const CLIENTS: usize = 200;
const ROUNDS: usize = 10;
const CONFIG: &str = "/etc/firefly-forage/config.toml";

/// How long a call takes as a client sees it whose connection is open, and how long two hundred
/// processes take together. The records are those of [`listing`](super::records::listing), most of which
/// are given to other users.
pub(super) fn concurrent(testbed: &Testbed, binaries: &Binaries, table: &mut Table) -> Result<()> {
    let probe = binaries.get("probe").context("cargo built no probe")?;
    let probe = std::fs::read(probe).context("cannot read the probe")?;
    testbed.write_file("/usr/local/bin/probe", "root", "0755", &probe)?;
    testbed.run_ok("root", &["bash", "-c", &share_out()])?;
    let clients = CLIENTS.to_string();
    let argv = ["probe", "load", &clients, &ROUNDS.to_string()];
    let output = testbed.run_ok("alice", &argv)?;
    let mut times: Vec<f64> = output
        .lines()
        .map(|line| line.parse::<f64>().map(|micros| micros / 1000.0))
        .collect::<Result<_, _>>()
        .with_context(|| format!("no times in {output:?}"))?;
    times.sort_by(f64::total_cmp);
    let p99 = times.get(times.len() * 99 / 100);
    let p99 = *p99.context("nothing was measured")?;
    let what = format!("{CLIENTS} concurrent ps, p99 of the call");
    table.report(&what, "ms", p99, 200.0);
    let ours = together(testbed, "forage-ctl ps")?;
    let theirs = together(testbed, "machinectl list")?;
    let what = format!("{CLIENTS} concurrent forage-ctl ps, all of them");
    table.compare(&what, "ms", ours, ("machinectl list", theirs), 1.5);
    Ok(())
}

/// A script that gives all but sixty of the records to others, and lets one user have all the
/// requests in flight: it is the daemon that is measured, not its limits.
fn share_out() -> String {
    format!(
        "set -e; systemctl stop firefly-forage; cd /var/lib/firefly-forage/sandboxes; n=0; \
         for f in be*.json; do n=$((n + 1)); [ $n -le 60 ] && continue; uid=$((2000 + n % 16)); \
         IFS=. read -r id _ slot name _ <<<\"$f\"; \
         sed -i \"s/\\\"owner\\\": *[0-9]*/\\\"owner\\\":$uid/\" \"$f\"; \
         mv \"$f\" \"$id.$uid.$slot.$name.json\"; done; chown foraged:foraged be*.json; \
         sed -i '1i maxRequestsPerUser = 256\\nmaxRequests = 512' {CONFIG}; \
         systemctl start firefly-forage"
    )
}

/// Milliseconds until as many processes have all ended.
fn together(testbed: &Testbed, line: &str) -> Result<f64> {
    let script = format!(
        "began=$EPOCHREALTIME; for ((i = 0; i < {CLIENTS}; i++)); do {line} >/dev/null & done; \
         wait; echo $((${{EPOCHREALTIME/./}} - ${{began/./}}))"
    );
    let micros = testbed.run_ok("alice", &["bash", "-c", &script])?;
    let micros: f64 = micros.trim().parse().context("no time")?;
    Ok(micros / 1000.0)
}
