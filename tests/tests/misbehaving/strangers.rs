//! Units, machines and files that look like ours and are not: they are left alone and listed nowhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, Undo, alone, ctl, ctl_ok, daemon};

/// An instance of our template unit that root made into something else.
const UNIT: &str = "forage-sandbox@deadbeef.service";
const FRAGMENT: &str = "/run/systemd/system/forage-sandbox@deadbeef.service";

const FILES: [&str; 9] = [
    "/run/firefly-forage/shim/notes",
    "/run/firefly-forage/shim/zz.sock",
    "/run/firefly-forage/shim/deadbeef.sock",
    "/run/firefly-forage/result/notes",
    "/run/firefly-forage/pin/notes",
    "/run/firefly-forage/secrets/deadbeef/key",
    "/var/lib/firefly-forage/sandboxes/notes",
    "/var/lib/firefly-forage/tokens/notes",
    "/var/lib/firefly-forage/workspaces/notes/file",
];

fn clear() -> String {
    format!(
        "systemctl stop forage-foo forage-other {UNIT}; rm -f {FRAGMENT}; systemctl daemon-reload; \
         rm -f {}; rmdir /run/firefly-forage/secrets/deadbeef \
         /var/lib/firefly-forage/workspaces/notes; true",
        FILES.join(" ")
    )
}

/// Registers a machine of this name whose first process is a unit's.
fn machine(testbed: &Testbed, name: &str, unit: &str) -> Result<()> {
    testbed.run_ok(
        "root",
        &[
            "systemd-run",
            "--quiet",
            "--unit",
            unit,
            "sleep",
            "infinity",
        ],
    )?;
    let pid = testbed.main_pid(unit)?.to_string();
    let call = format!(
        "busctl --system call org.freedesktop.machine1 /org/freedesktop/machine1 \
         org.freedesktop.machine1.Manager RegisterMachine sayssus {name} 0 test container {pid} /"
    );
    testbed.run_ok("root", &["sh", "-c", &call])?;
    Ok(())
}

#[test]
fn what_is_not_ours_is_left_alone() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _clear = Undo::new(testbed, clear());
    machine(testbed, "forage-x", "forage-foo")?;
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n";
    testbed.write_file(FRAGMENT, "root", "0644", unit.as_bytes())?;
    for file in FILES {
        testbed.write_file(file, "root", "0600", b"not yours")?;
    }
    testbed.run_ok("root", &["systemctl", "daemon-reload"])?;
    testbed.run_ok("root", &["systemctl", "start", UNIT])?;
    // Instances that are no id, or an id nobody has, come to nothing and leave nothing.
    for instance in ["zzzz", "0123abcd"] {
        let unit = format!("forage-sandbox@{instance}.service");
        let start = testbed.run("root", &["systemctl", "start", &unit])?;
        ensure!(!start.ok(), "{unit} was started");
        let removal = format!("forage-remove@{instance}.service");
        testbed.run("root", &["systemctl", "start", &removal])?;
    }
    let cursor = testbed.journal_cursor()?;
    daemon(testbed, "restart")?;
    let sandbox = Sandbox::up(testbed, "bob", "ours", "claude-key", &[])?;
    for user in ["bob", "root"] {
        let list: serde_json::Value =
            serde_json::from_str(&ctl_ok(testbed, user, &["ps", "--json"])?)?;
        ensure!(
            list["sandboxes"]
                .as_array()
                .is_some_and(|all| all.len() == 1),
            "{user}: {list}"
        );
    }
    let told = |event: &str, part: &str| {
        let field = format!("FORAGE_EVENT={event}");
        let wait = Duration::from_secs(10);
        testbed.journal_until(&cursor, &[&field], wait, |entry| {
            entry["MESSAGE"]
                .as_str()
                .is_some_and(|text| text.contains(part))
        })
    };
    told("stranger", "deadbeef")?;
    told("foreign-file", "notes")?;
    sandbox.down()?;
    daemon(testbed, "restart")?;
    for unit in ["forage-foo.service", UNIT] {
        ensure!(
            testbed.run("root", &["systemctl", "is-active", unit])?.ok(),
            "{unit}"
        );
    }
    ensure!(
        testbed
            .run_ok("root", &["machinectl", "list"])?
            .contains("forage-x")
    );
    for file in FILES {
        ensure!(
            testbed.run_ok("root", &["cat", file])? == "not yours",
            "{file}"
        );
    }
    let results = testbed.run_ok("root", &["ls", "-A", "/run/firefly-forage/result"])?;
    ensure!(!results.contains("0123abcd"), "{results}");
    Ok(())
}

#[test]
fn a_machine_that_has_a_sandboxs_name_is_not_taken_for_it() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _clear = Undo::new(testbed, clear());
    let sandbox = Sandbox::up(testbed, "bob", "squatted", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", "squatted"])?;
    machine(testbed, &format!("forage-{}", sandbox.id), "forage-other")?;
    ensure!(sandbox.field("state")? == "stopped");
    let start = ctl(testbed, "bob", &["start", "squatted"])?;
    ensure!(
        start.code() == 8 && start.stderr.contains("hint:"),
        "{}",
        start.text()
    );
    ensure!(
        testbed
            .run("root", &["systemctl", "is-active", "forage-other"])?
            .ok()
    );
    ensure!(sandbox.exec(&["id"])?.code() == 4);
    testbed.run_ok("root", &["systemctl", "stop", "forage-other"])?;
    let name = format!("forage-{}", sandbox.id);
    wait_for("machined to forget it", Duration::from_secs(10), || {
        let known = testbed.run("root", &["machinectl", "show", &name])?;
        Ok((!known.ok()).then_some(()))
    })?;
    ctl_ok(testbed, "bob", &["start", "squatted"])?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    Ok(())
}
