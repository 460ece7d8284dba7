//! The host reboots while sandboxes run. The host is one of this test's own.

use anyhow::{Result, ensure};
use forage_tests::testbed::{Options, Testbed};
use serde_json::Value;

use crate::support::{ctl, ctl_ok, store, token};

fn status(testbed: &Testbed, name: &str) -> Result<Value> {
    let text = ctl_ok(testbed, "bob", &["status", name, "--json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// What has to be the same ever after.
fn identity(status: &Value) -> Vec<String> {
    [
        "id",
        "name",
        "workspace",
        "repository",
        "createdAt",
        "uidBase",
        "template",
    ]
    .iter()
    .map(|key| status[key].to_string())
    .collect()
}

#[test]
fn sandboxes_that_ran_are_stopped_after_a_reboot_and_start_again() -> Result<()> {
    let mut testbed = Testbed::boot(&Options::named("reboot"))?;
    ensure!(store(&testbed, "bob", &token('r'))?.ok());
    testbed.run_ok(
        "bob",
        &["sh", "-c", "mkdir -p ~/repo && echo mine > ~/repo/file"],
    )?;
    ctl_ok(&testbed, "bob", &["up", "own", "-t", "claude-key"])?;
    let repo = ["up", "repo", "-t", "claude", "--repo", "/home/bob/repo"];
    ctl_ok(&testbed, "bob", &repo)?;
    ctl_ok(&testbed, "bob", &["up", "rests", "-t", "claude-key"])?;
    ctl_ok(&testbed, "bob", &["stop", "rests"])?;
    let note = [
        "exec",
        "own",
        "--",
        "sh",
        "-c",
        "echo kept > /workspace/file",
    ];
    ctl_ok(&testbed, "bob", &note)?;
    let names = ["own", "repo", "rests"];
    let before: Vec<Value> = names
        .iter()
        .map(|name| status(&testbed, name))
        .collect::<Result<_>>()?;

    testbed.reboot()?;

    for (name, before) in names.iter().zip(&before) {
        let after = status(&testbed, name)?;
        ensure!(after["state"] == "stopped", "{name}: {after}");
        ensure!(
            identity(&after) == identity(before),
            "{before} became {after}"
        );
    }
    let left = testbed.run_ok("root", &["sh", "-c", "ls -A /run/firefly-forage/secrets /run/firefly-forage/shim | grep -v :; systemctl list-units --all --plain --no-legend 'forage-sandbox@*'"])?;
    ensure!(left.trim().is_empty(), "{left}");
    for (name, file, text) in [("own", "file", "kept"), ("repo", "file", "mine")] {
        ctl_ok(&testbed, "bob", &["start", name])?;
        let path = format!("/workspace/{file}");
        let found = ctl_ok(&testbed, "bob", &["exec", name, "--", "cat", &path])?;
        ensure!(found.trim() == text, "{name}: {found}");
    }
    let given = ["exec", "repo", "--", "printenv", "CLAUDE_CODE_OAUTH_TOKEN"];
    ensure!(ctl_ok(&testbed, "bob", &given)?.trim() == token('r'));
    ctl_ok(&testbed, "bob", &["start", "rests"])?;
    for name in names {
        ensure!(ctl(&testbed, "bob", &["down", "--delete-workspace", name])?.ok());
    }
    Ok(())
}
