//! The main job, from start to end.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, alone, ctl, ctl_ok, store, token};

#[test]
fn up_credentials_exec_down_and_nothing_is_left() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let first = token('1');
    ensure!(store(testbed, "alice", &first)?.ok());
    testbed.run_ok(
        "alice",
        &["sh", "-c", "mkdir -p ~/repo && echo hello > ~/repo/README"],
    )?;
    let before = testbed.inventory()?;

    let sandbox = Sandbox::up(
        testbed,
        "alice",
        "s1",
        "claude",
        &["--repo", "/home/alice/repo"],
    )?;
    ensure!(sandbox.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])? == first);
    let status = sandbox.exec_ok(&["claude", "auth", "status"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    ensure!(
        status["loggedIn"] == true && status["authMethod"] == "oauth_token",
        "{status}"
    );
    ensure!(sandbox.sh("cat README; echo made > by-agent")? == "hello");
    let owner = testbed.run_ok(
        "alice",
        &["stat", "-c", "%U %G %a", "/home/alice/repo/by-agent"],
    )?;
    ensure!(owner.starts_with("alice alice"), "{owner}");

    let second = token('2');
    let stored = store(testbed, "alice", &second)?;
    ensure!(
        stored.ok() && stored.text().contains("s1"),
        "{}",
        stored.text()
    );
    ensure!(sandbox.exec_ok(&["cat", "/run/secrets/claude-oauth-token"])? == second);
    ensure!(sandbox.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])? == second);

    sandbox.down()?;
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "left behind:\n{left}");
    Ok(())
}

#[test]
fn stop_and_start_keep_the_workspace_and_nothing_else() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = crate::support::beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "keep", "claude-key", &[])?;
    sandbox.sh("echo kept > /workspace/file; echo lost > /home/agent/file")?;
    ctl_ok(testbed, "bob", &["stop", "keep"])?;
    ensure!(sandbox.field("state")? == "stopped");
    let outcome = sandbox.exec(&["true"])?;
    ensure!(outcome.code() == 4, "{}", outcome.text());
    ensure!(ctl(testbed, "bob", &["stop", "keep"])?.code() == 4);
    ctl_ok(testbed, "bob", &["start", "keep"])?;
    ensure!(ctl(testbed, "bob", &["start", "keep"])?.code() == 4);
    ensure!(sandbox.sh("cat /workspace/file; ls /home/agent")? == "kept");
    // A workspace with files in it is a person's work.
    let refused = ctl(testbed, "bob", &["down", "keep"])?;
    ensure!(
        refused.code() == 4 && refused.stderr.contains("--delete-workspace"),
        "{}",
        refused.text()
    );
    let path = sandbox.field("workspace")?;
    ensure!(testbed.run_ok("bob", &["cat", &format!("{path}/file")])? == "kept\n");
    ctl_ok(testbed, "bob", &["down", "keep", "--delete-workspace"])?;
    ensure!(
        !testbed.run("root", &["test", "-e", &path])?.ok(),
        "the workspace is still there"
    );
    Ok(())
}

#[test]
fn services_inside_are_stopped_properly() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = crate::support::beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "proper", "claude-key", &[])?;
    // A user service would need a session; a transient system service of the tree's own manager,
    // made by the sandbox's root, writes its last word to the workspace as the agent.
    let line = "systemd-run --machine=M --quiet --property=User=agent --property=ExecStop='/bin/sh -c \"echo stopped > /workspace/last-word\"' --property=RemainAfterExit=yes --unit=witness /bin/true";
    let machine = format!("forage-{}", _sandbox.id);
    let started = testbed.sh("root", &line.replace("=M ", &format!("={machine} ")))?;
    ensure!(started.ok(), "{}", started.text());
    ctl_ok(testbed, "bob", &["stop", "proper"])?;
    let path = format!("{}/last-word", _sandbox.field("workspace")?);
    ensure!(testbed.run_ok("bob", &["cat", &path])? == "stopped\n");
    Ok(())
}

#[test]
fn the_daemon_is_as_hardened_as_it_says() -> Result<()> {
    let testbed = Testbed::shared()?;
    let unit = "/usr/lib/systemd/system/firefly-forage.service";
    let json = testbed.sh("root", &format!("systemd-analyze security --offline=true --threshold=3 {unit} --no-pager | tail -n 1; systemd-analyze security --offline=true --threshold=3 {unit} >/dev/null"))?;
    ensure!(json.ok(), "the exposure is over 0.3: {}", json.text());
    Ok(())
}

#[test]
fn the_journal_tells_what_happened_to_a_sandbox() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = crate::support::beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "told", "claude-key", &[])?;
    let id = format!("FORAGE_ID={}", sandbox.id);
    ctl_ok(testbed, "bob", &["stop", "told"])?;
    let said = |matches: &str, from: &str, field: &str| -> Result<Vec<String>> {
        let entries = testbed.journal(&[matches, &format!("SYSLOG_IDENTIFIER={from}")])?;
        let words = entries.iter().filter(|entry| entry["FORAGE_UID"] == "1001");
        Ok(words
            .filter_map(|entry| Some(entry[field].as_str()?.to_owned()))
            .collect())
    };
    let operations = said("FORAGE_SANDBOX=told", "foraged", "FORAGE_OPERATION")?;
    ensure!(operations == ["create", "stop"], "{operations:?}");
    let events = said("FORAGE_SANDBOX=told", "forage-shim", "FORAGE_EVENT")?;
    for event in ["checking", "booting", "stopped"] {
        ensure!(
            events.iter().any(|seen| seen == event),
            "{event} is not in {events:?}"
        );
    }
    ensure!(said(&id, "forage-shim", "FORAGE_EVENT")? == events);
    Ok(())
}
