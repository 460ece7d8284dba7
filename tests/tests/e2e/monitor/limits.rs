//! Limits, and what `status` tells of a run.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::becomes;
use crate::support::{Sandbox, alone, beside_others, ctl, ctl_ok, daemon};

const CONFIG: &str = "/etc/firefly-forage/config.toml";

/// Properties of a sandbox's unit, as `KEY=VALUE` in the order systemd likes.
fn properties(testbed: &Testbed, sandbox: &Sandbox) -> Result<String> {
    let keys = "--property=CPUQuotaPerSecUSec,MemoryMax,TasksMax,DropInPaths";
    testbed.run_ok("root", &["systemctl", "show", keys, &sandbox.unit()])
}

/// What systemd keeps for a unit until the next boot.
fn drop_ins(testbed: &Testbed, sandbox: &Sandbox) -> Result<String> {
    let line = format!(
        "ls -d /run/systemd/system.control/{}.d 2>&1",
        sandbox.unit()
    );
    Ok(testbed.sh("root", &line)?.stdout)
}

#[test]
fn limits_are_the_units_and_go_with_the_run() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "limited", "limited", &[])?;
    let set = properties(testbed, &sandbox)?;
    for property in [
        "CPUQuotaPerSecUSec=1.500000s",
        "MemoryMax=4294967296",
        "TasksMax=512",
    ] {
        ensure!(set.contains(property), "{property} is not in {set}");
    }
    let status = sandbox.status()?;
    let expected = serde_json::json!({
        "cpuQuota": 150, "memoryMax": 4_294_967_296_u64, "tasksMax": 512
    });
    ensure!(status["limits"] == expected, "{status}");
    let shown = ctl_ok(testbed, "bob", &["status", "limited"])?;
    ensure!(shown.contains("cpu 150%, memory 4G, 512 tasks"), "{shown}");

    ctl_ok(testbed, "bob", &["stop", "limited"])?;
    let left = drop_ins(testbed, &sandbox)?;
    ensure!(left.contains("No such file"), "left: {left}");
    let gone = properties(testbed, &sandbox)?;
    ensure!(!gone.contains("TasksMax=512"), "still set: {gone}");

    ctl_ok(testbed, "bob", &["start", "limited"])?;
    testbed.kill_unit(&sandbox.unit())?;
    becomes(&sandbox, "failed")?;
    let left = drop_ins(testbed, &sandbox)?;
    ensure!(left.contains("No such file"), "left: {left}");
    Ok(())
}

#[test]
fn a_later_start_has_the_limits_of_then() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "changed", "limited", &[])?;
    ctl_ok(testbed, "bob", &["stop", "changed"])?;
    let original = testbed.run_ok("root", &["cat", CONFIG])?;
    let limits = "cpuQuota = \"150%\", memoryMax = \"4G\", tasksMax = 512";
    let changed = original.replace(limits, "memoryMax = \"2G\"");
    ensure!(changed != original);
    testbed.write_file(CONFIG, "root", "0644", changed.as_bytes())?;
    let set = daemon(testbed, "reload")
        .and_then(|()| ctl_ok(testbed, "bob", &["start", "changed"]))
        .and_then(|_| properties(testbed, &sandbox));
    testbed.write_file(CONFIG, "root", "0644", original.as_bytes())?;
    daemon(testbed, "reload")?;
    let set = set?;
    for property in [
        "CPUQuotaPerSecUSec=infinity",
        "MemoryMax=2147483648",
        "TasksMax=16384",
    ] {
        ensure!(set.contains(property), "{property} is not in {set}");
    }
    Ok(())
}

#[test]
fn limits_that_cannot_be_set_are_a_failed_start() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    for (answer, why) in [
        ("exit 1", "systemd refused"),
        ("sleep 60", "systemd does not answer"),
    ] {
        let script = format!("#!/bin/sh\nexec {answer}\n");
        testbed.write_file("/run/systemctl", "root", "0755", script.as_bytes())?;
        let mount = ["mount", "--bind", "/run/systemctl", "/usr/bin/systemctl"];
        testbed.run_ok("root", &mount)?;
        let up = ctl(testbed, "bob", &["up", "unlimited", "-t", "limited"]);
        testbed.run_ok("root", &["umount", "/usr/bin/systemctl"])?;
        let sandbox = Sandbox::adopt(testbed, "bob", "unlimited")?;
        let up = up?;
        let said = |why| format!("cannot limit what the sandbox may use: {why}");
        // Whoever is that slow does not answer, whatever the answer.
        let words = [said(why), said("systemd does not answer")];
        let told = words.iter().any(|said| up.stderr.contains(said));
        ensure!(up.code() == 8 && told, "{}", up.text());
        sandbox.down()?;
    }
    Ok(())
}

#[test]
fn the_last_failure_outlives_a_start_and_the_daemon() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "past", "claude-key", &[])?;
    ensure!(sandbox.status()?["lastFailure"].is_null());
    testbed.kill_unit(&sandbox.unit())?;
    becomes(&sandbox, "failed")?;
    daemon(testbed, "restart")?;
    let failed = sandbox.status()?["lastFailure"].clone();
    let message = failed["message"].as_str().unwrap_or_default();
    ensure!(message.contains("killed by SIGKILL"), "{failed}");
    ctl_ok(testbed, "bob", &["start", "past"])?;
    let status = sandbox.status()?;
    ensure!(status["lastFailure"] == failed, "{status}");
    ensure!(
        status["failure"].is_null() && status["uptime"].is_u64(),
        "{status}"
    );
    ensure!(
        status["startedAt"].as_str() >= failed["at"].as_str(),
        "{status}"
    );
    let mounts = status["mounts"].as_array().map_or(0, Vec::len);
    ensure!(
        mounts == 4 && status["network"]["mode"] == "none",
        "{status}"
    );
    let shown = ctl_ok(testbed, "bob", &["status", "past"])?;
    ensure!(
        shown.contains("last failure") && shown.contains("killed by SIGKILL"),
        "{shown}"
    );
    Ok(())
}
