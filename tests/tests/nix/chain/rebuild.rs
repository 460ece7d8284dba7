//! A host that is rebuilt, rolled back and upgraded under a running sandbox.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::hosts::{self, Host};
use crate::support::{Sandbox, alone, ctl, ctl_ok, store, token};

/// Collects everything nothing keeps alive.
fn collect(testbed: &Testbed) -> Result<()> {
    testbed.run_ok("root", &["nix-store", "--gc", "--quiet"])?;
    Ok(())
}

/// What tells that a sandbox went on.
fn alive(sandbox: &Sandbox) -> Result<String> {
    sandbox.sh("cat /proc/sys/kernel/random/boot_id /proc/1/stat | cut -d' ' -f1,22; cat /tmp/mark")
}

#[test]
fn a_running_sandbox_outlives_rebuild_rollback_collection_and_upgrade() -> Result<()> {
    let Some(testbed) = hosts::testbed("nix::a_running_sandbox_outlives_a_rebuild")? else {
        return Ok(());
    };
    let _alone = alone();
    let before = Host::build(testbed, "before")?;
    let after = Host::build(testbed, "after")?;
    let upgraded = Host::build(testbed, "upgraded")?;
    let (old, new) = (before.system(testbed)?, after.system(testbed)?);
    ensure!(old != new && upgraded.system(testbed)? == new);
    before.switch(testbed)?;
    ensure!(store(testbed, "alice", &token('r'))?.ok());
    testbed.run_ok("alice", &["mkdir", "-p", "/home/alice/.claude"])?;
    let sandbox = Sandbox::up(testbed, "alice", "lasting", "claude", &[])?;
    // The template's own packages, and those its module brings.
    ensure!(sandbox.exec_ok(&["first-extra"])? == "first-extra");
    ensure!(sandbox.exec_ok(&["merged"])? == "merged");
    sandbox.sh("echo here > /tmp/mark")?;
    let first = alive(&sandbox)?;

    // A rebuild: it goes on as it is, and says so.
    after.switch(testbed)?;
    ensure!(alive(&sandbox)? == first);
    let told = sandbox.status()?;
    ensure!(
        told["system"] == old.as_str() && told["newerSystem"] == new.as_str(),
        "{told:#}"
    );
    let text = ctl_ok(testbed, "alice", &["status", "lasting"])?;
    ensure!(
        text.contains(&format!("an older build; its template has {new}")),
        "{text}"
    );
    // Rolled back, it is what the template names again.
    before.switch(testbed)?;
    ensure!(alive(&sandbox)? == first && sandbox.status()?["newerSystem"].is_null());

    // Rebuilt for good: what only the sandbox needs is kept for it.
    after.switch(testbed)?;
    before.forget(testbed)?;
    collect(testbed)?;
    testbed.run_ok("root", &["test", "-e", &old])?;
    ensure!(sandbox.exec_ok(&["first-extra"])? == "first-extra");

    // Other programs: the daemon is another one, which takes over what runs under the shim of before.
    upgraded.switch(testbed)?;
    let package = upgraded.package(testbed)?;
    let daemon = testbed.main_pid("firefly-forage.service")?;
    let program = testbed.run_ok("root", &["readlink", &format!("/proc/{daemon}/exe")])?;
    ensure!(program.starts_with(&package), "{program}");
    let shim = testbed.main_pid(&sandbox.unit())?;
    let program = testbed.run_ok("root", &["readlink", &format!("/proc/{shim}/exe")])?;
    ensure!(program.contains("firefly-forage-1"), "{program}");
    ensure!(alive(&sandbox)? == first);
    let rotated = token('q');
    ensure!(store(testbed, "alice", &rotated)?.ok());
    ensure!(sandbox.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])? == rotated);

    // The next start has what was built since, and nothing of the run before is left.
    ctl_ok(testbed, "alice", &["stop", "lasting"])?;
    ctl_ok(testbed, "alice", &["start", "lasting"])?;
    ensure!(sandbox.exec_ok(&["second-extra"])? == "second-extra");
    ensure!(!sandbox.exec(&["first-extra"])?.ok());
    let told = sandbox.status()?;
    ensure!(
        told["system"] == new.as_str() && told["newerSystem"].is_null(),
        "{told:#}"
    );
    sandbox.down()?;
    // Now nothing needs the old system any more.
    collect(testbed)?;
    ensure!(!testbed.run("root", &["test", "-e", &old])?.ok());
    ensure!(ctl(testbed, "alice", &["status", "lasting"])?.code() == 3);
    Ok(())
}
