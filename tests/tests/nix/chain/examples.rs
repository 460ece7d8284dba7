//! The examples of the documentation of authentication, from what an administrator writes to an agent that
//! is logged in.

use std::fs;

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::hosts::{self, Host};
use crate::examples::{EXAMPLES, committed, everywhere};
use crate::support::{Sandbox, alone, ctl_ok, store, token};

#[test]
fn each_comes_to_the_configuration_that_is_committed() -> Result<()> {
    let Some(testbed) = hosts::testbed("nix::each_comes_to_the_configuration_that_is_committed")?
    else {
        return Ok(());
    };
    let _alone = alone();
    for example in EXAMPLES {
        let config = everywhere(&Host::build(testbed, example)?.config(testbed)?);
        if std::env::var_os("FORAGE_WRITE_SNAPSHOTS").is_some() {
            fs::write(committed(example), &config)?;
        }
        ensure!(
            config == fs::read_to_string(committed(example))?,
            "{example}: {config}"
        );
    }
    Ok(())
}

#[test]
fn a_token_reaches_the_agent() -> Result<()> {
    let Some(testbed) = hosts::testbed("nix::a_token_reaches_the_agent")? else {
        return Ok(());
    };
    let _alone = alone();
    let host = Host::build(testbed, "token")?;
    host.switch(testbed)?;
    // The programs are the store's.
    let started = testbed.run_ok(
        "root",
        &[
            "systemctl",
            "show",
            "--property=ExecStart",
            "firefly-forage.service",
        ],
    )?;
    ensure!(
        started.contains(&format!("{}/bin/foraged", host.package(testbed)?)),
        "{started}"
    );
    let told = ctl_ok(testbed, "alice", &["templates"])?;
    ensure!(told.contains("Claude Code sandbox"), "{told}");

    let token = token('n');
    ensure!(store(testbed, "alice", &token)?.ok());
    testbed.run_ok(
        "alice",
        &[
            "sh",
            "-c",
            "mkdir -p ~/.claude ~/chain && echo hello > ~/chain/README",
        ],
    )?;
    let repo = ["--repo", "/home/alice/chain"];
    let sandbox = Sandbox::up(testbed, "alice", "chain", "claude", &repo)?;
    ensure!(sandbox.exec_ok(&["systemctl", "is-system-running"])? == "running");
    ensure!(sandbox.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])? == token);
    ensure!(sandbox.exec_ok(&["cat", "README"])? == "hello");
    // Whatever else a shell reads first; and the sandbox's own name is known.
    for before in ["", "PATH=/usr/bin; . /run/current-system/set-environment; "] {
        let wrapper = sandbox.sh(&format!("{before}command -v claude"))?;
        ensure!(wrapper == "/run/forage/bin/claude", "{before}: {wrapper}");
    }
    let address = sandbox.sh("getent -s files hosts \"$(hostname)\"")?;
    ensure!(address.starts_with("127.0.0.2 "), "{address}");
    let status: serde_json::Value =
        serde_json::from_str(&sandbox.exec_ok(&["claude", "auth", "status"])?)?;
    ensure!(
        status["loggedIn"] == true && status["authMethod"] == "oauth_token",
        "{status}"
    );
    let told = sandbox.status()?;
    ensure!(told["system"] == host.system(testbed)?.as_str(), "{told:#}");
    ensure!(told["newerSystem"].is_null(), "{told:#}");
    sandbox.down()?;
    Ok(())
}

#[test]
fn a_key_of_a_secret_manager_reaches_the_agent() -> Result<()> {
    let Some(testbed) = hosts::testbed("nix::a_key_of_a_secret_manager_reaches_the_agent")? else {
        return Ok(());
    };
    let _alone = alone();
    let cursor = testbed.journal_cursor()?;
    // As sops-nix and agenix leave them: a link to a file of root's, in memory.
    for (example, place) in [("secrets", "/run/secrets"), ("agenix", "/run/agenix")] {
        let key = format!("sk-ant-api03-CANARY-nix-{example}");
        let script = format!(
            "mkdir -p {place}.d/1; umask 0377; printf %s {key} > {place}.d/1/anthropic-api-key; \
             ln -sfn {place}.d/1 {place}; chmod 0751 {place}.d {place}.d/1"
        );
        testbed.run_ok("root", &["sh", "-ec", &script])?;
        Host::build(testbed, example)?.switch(testbed)?;
        let sandbox = Sandbox::up(testbed, "alice", "key", "claude", &[])?;
        ensure!(sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])? == key);
        let status = sandbox.exec_ok(&["claude", "auth", "status"])?;
        ensure!(status.contains("\"api_key"), "{status}");
        if example == "secrets" {
            ensure!(sandbox.exec_ok(&["printenv", "ANTHROPIC_API_KEY"])? == key);
        }
        // It is where it is delivered, and nowhere else that is the host's.
        let file = format!("/run/firefly-forage/secrets/{}/anthropic\n", sandbox.id);
        let found = hunt(testbed)?;
        ensure!(found == file, "{found}");
        sandbox.down()?;
        let found = hunt(testbed)?;
        ensure!(found.is_empty(), "{found}");
    }
    for entry in testbed.journal(&[&format!("--after-cursor={cursor}")])? {
        ensure!(
            !entry.to_string().contains("CANARY"),
            "in the journal: {entry}"
        );
    }
    Ok(())
}

/// The files of the host's, but for those of the secret manager, that hold a key of these tests.
fn hunt(testbed: &Testbed) -> Result<String> {
    let line = "grep -rlF sk-ant-api03-CANARY-nix /nix/store /etc /var/lib/firefly-forage /run/firefly-forage";
    let hunted = testbed.sh("root", line)?;
    // 2: something could not be looked at.
    ensure!(hunted.code() < 2, "{}", hunted.text());
    Ok(hunted.stdout)
}
