//! The network, next to a veth link with a masquerade and nothing else.

use anyhow::{Context, Result};
use forage_tests::testbed::Testbed;

use super::figures::Table;
use super::rows::machine;

/// Of so many turns the best of each counts: whatever else the machine does only ever adds.
const TURNS: usize = 21;
/// A ratio of 0.95 in what gets through, as one of the time it takes.
const AIM: f64 = 1.0 / 0.95;

/// The link of the container the network is compared with, as `ip-masquerade` of anybody's would be.
const PLAIN: &str = "set -e
cp /usr/local/bin/internet /run/plain/workspace/
leader=$(machinectl show -p Leader --value plain)
ip address add 10.99.0.1/30 dev plain0
ip link set plain0 up
in=\"nsenter --target $leader --net\"
$in ip address add 10.99.0.2/30 dev host0
$in ip link set host0 up
$in ip route add default via 10.99.0.1
nft -f - <<'EOF'
table ip plain {
  chain leave {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.99.0.2 masquerade
  }
}
EOF";

/// Throughput and latency. Both kinds take turns.
pub(super) fn network(testbed: &Testbed, table: &mut Table) -> Result<()> {
    testbed.surround()?;
    testbed.run_ok("root", &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
    testbed.run_ok(
        "alice",
        &["cp", "/usr/local/bin/internet", "/home/alice/repo/"],
    )?;
    let up = [
        "forage-ctl",
        "up",
        "b1",
        "-t",
        "net",
        "--repo",
        "/home/alice/repo",
    ];
    testbed.run_ok("alice", &up)?;
    let start = "systemd-run --quiet --unit=plain --slice=machine.slice -p Type=notify \
         -p NotifyAccess=all -p Delegate=yes -p DelegateSubgroup=supervisor \
         -p KillMode=mixed -E LINK=plain0 /root/plain-nspawn";
    testbed.run_ok("root", &["sh", "-c", start])?;
    testbed.run_ok("root", &["sh", "-c", PLAIN])?;
    let ours = machine(testbed)?;
    for (what, unit, arguments) in [
        (
            "sending 256 MiB over the network",
            "ms",
            ["push", "198.51.100.10:81", "256"],
        ),
        (
            "a round trip over the network",
            "µs",
            ["ping", "198.51.100.10:82", "5000"],
        ),
    ] {
        let (mut in_ours, mut in_plain) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            in_ours.push(measure(testbed, &ours, &arguments)?);
            in_plain.push(measure(testbed, "plain", &arguments)?);
        }
        let plain = ("plain veth", best(&in_plain));
        table.compare(what, unit, best(&in_ours), plain, AIM);
    }
    testbed.run_ok("root", &["systemctl", "stop", "plain.service"])?;
    testbed.run_ok("root", &["nft", "delete", "table", "ip", "plain"])?;
    testbed.run_ok("alice", &["forage-ctl", "down", "b1"])?;
    Ok(())
}

fn best(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// What the program says it took, run in a container as its user 1000.
fn measure(testbed: &Testbed, machine: &str, arguments: &[&str]) -> Result<f64> {
    let mut argv = vec![
        "systemd-run",
        "-M",
        machine,
        "--uid=1000",
        "--wait",
        "--pipe",
        "--quiet",
        "/workspace/internet",
    ];
    argv.extend(arguments);
    let said = testbed.run_ok("root", &argv)?;
    said.trim()
        .parse()
        .with_context(|| format!("no figure in {said:?}"))
}
