//! What a run leaves that was cut off with all that would have cleared up after it.

use anyhow::{Result, ensure};
use forage_tests::testbed::{Inventory, Testbed};

use crate::support::{Sandbox, Undo, alone, ctl_ok};

/// Everything that can lie about of a sandbox, made by hand.
const LITTER: &str = r#"
cd /run/firefly-forage
mkdir secrets/ID && echo old > secrets/ID/old && echo half > secrets/ID/.anthropic.new
mkdir pin/ID && mount -t tmpfs tmpfs pin/ID && mount -t tmpfs tmpfs pin/ID
echo junk > pin/ID.outcome && echo junk > pin/.ID.outcome.new
perl -e 'use Socket; for (@ARGV) { socket(my $s, AF_UNIX, SOCK_STREAM, 0); bind($s, sockaddr_un($_)) or die }' \
  shim/ID.sock shim/.ID.sock.new
echo junk > result/ID && echo junk > result/.ID.new
mkdir -p /run/systemd/nspawn/propagate/forage-ID /run/systemd/nspawn/unix-export/forage-ID
mkdir -p /sys/fs/cgroup/machine.slice/forage-sandbox@ID.service/payload/init.scope
mkdir -p /sys/fs/cgroup/machine.slice/forage-sandbox@ID.service/exec/7
mkdir -p /sys/fs/cgroup/machine.slice/forage-sandbox@ID.service/supervisor
"#;

fn litter(testbed: &Testbed, id: &str) -> Result<()> {
    // Where `exec` of an earlier `rm` left nothing; the report of the last run is in the way.
    let line = format!(
        "rm -f /run/firefly-forage/result/{id}; set -e; {}",
        LITTER.replace("ID", id)
    );
    testbed.run_ok("root", &["sh", "-c", &line])?;
    Ok(())
}

#[test]
fn a_start_clears_up_and_nothing_of_it_reaches_the_sandbox() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let before = testbed.inventory()?;
    let sandbox = Sandbox::up(testbed, "bob", "littered", "claude-key", &[])?;
    let id = sandbox.id.clone();
    let _mounts = Undo::new(
        testbed,
        format!("while umount /run/firefly-forage/pin/{id} 2>/dev/null; do :; done; true"),
    );
    let running = testbed.inventory()?;
    ctl_ok(testbed, "bob", &["stop", "littered"])?;
    litter(testbed, &id)?;
    ctl_ok(testbed, "bob", &["start", "littered"])?;
    ensure!(sandbox.sh("ls -A /run/secrets")? == "anthropic");
    let more = but_logs(&testbed.inventory()?.since(&running));
    ensure!(more.is_empty(), "still there: {more}");
    ctl_ok(testbed, "bob", &["stop", "littered"])?;
    // A removal without a start in between: what it may not take away, a start does.
    litter(testbed, &id)?;
    testbed.run_ok("root", &["sh", "-c", &format!("umount /run/firefly-forage/pin/{id}; umount /run/firefly-forage/pin/{id}; rmdir /run/systemd/nspawn/*/forage-{id}")])?;
    sandbox.down()?;
    let left = testbed.inventory()?.since(&before);
    let cgroup = |line: &str| line.starts_with("cgroup");
    ensure!(left.lines().all(cgroup), "left behind: {left}");
    // An empty cgroup that systemd did not make is nobody's; put it away for the tests that follow.
    testbed.sh("root", &format!("find /sys/fs/cgroup/machine.slice/forage-sandbox@{id}.service -depth -type d -exec rmdir {{}} + 2>/dev/null; true"))?;
    Ok(())
}

/// What is in an inventory besides the logs of sandboxes, which outlive their runs, and the locks of
/// systemd-nspawn, which are never removed and named at random.
pub(super) fn but_logs(inventory: &Inventory) -> String {
    let kept = ["/firefly-forage/logs/", "/run/systemd/nspawn/locks/"];
    let stays = |line: &&str| kept.iter().any(|place| line.contains(place));
    let rest: Vec<&str> = inventory.lines().filter(|line| !stays(line)).collect();
    rest.join("\n")
}
