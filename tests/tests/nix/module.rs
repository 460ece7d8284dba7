//! `module.nix`: what it refuses, and with which words.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::evaluation::Evaluation;

#[test]
fn each_assertion_says_its_text_and_nothing_else_is_said() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::each_assertion_says_its_text")? else {
        return Ok(());
    };
    let cases = evaluation.get("assertions")?;
    let cases = cases.as_object().context("no cases")?;
    ensure!(cases.len() > 15, "{} cases", cases.len());
    for (name, case) in cases {
        ensure!(case["expected"] == case["found"], "{name}: {case:#}");
    }
    Ok(())
}

#[test]
fn values_that_are_none_of_their_option() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::values_that_are_none_of_their_option")? else {
        return Ok(());
    };
    for (case, expected) in [
        (
            "network",
            "templates.t.network' is not of type `one of \"none\", \"full\"'",
        ),
        (
            "cpuQuota",
            "per cent of one processor from \"1%\" to \"100000%\", such as \"150%\"",
        ),
        ("memoryMax", "size from \"64M\" to \"1T\", such as \"4G\""),
        ("smallMemoryMax", "size from \"64M\" to \"1T\""),
        ("rootSize", "size from \"1M\" to \"1T\""),
        ("tasksMax", "between 64 and 4194304"),
        ("agentUid", "between 1 and 65535"),
        ("agentUser", "templates.t.agentUser' is not of type"),
        ("hostPorts", "port, such as 8080 or \"udp/53\""),
        ("noPort", "port, such as 8080 or \"udp/53\""),
        ("largePort", "port, such as 8080 or \"udp/53\""),
        ("workspacePath", "absolute path, as a string"),
        (
            "provider",
            "\"aider\", \"claude\", \"codex\", \"gemini\", \"opencode\"",
        ),
        ("delivery", "one of \"env\", \"file\""),
        (
            "secrets",
            "absolute path outside the Nix store, as a string",
        ),
        ("user", "firefly-forage.user' is not of type"),
    ] {
        let output = evaluation.try_get(&format!("mistakes.{case}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains(expected),
            "{case}: {said}"
        );
    }
    Ok(())
}

#[test]
fn no_secret_is_copied_into_the_store() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::no_secret_is_copied_into_the_store")? else {
        return Ok(());
    };
    let store = tempfile::tempdir()?;
    let evaluation = evaluation.with_store(store.path());
    // It is not kept out by the assertion alone: what is built without it does not have it either.
    let built = evaluation.get("refused")?;
    ensure!(
        built.as_array().is_some_and(|all| all.len() == 3),
        "{built}"
    );
    let hunted = std::process::Command::new("grep")
        .args(["--recursive", "--files-with-matches", "CANARY-nix"])
        .arg(store.path())
        .output()?;
    let found = String::from_utf8_lossy(&hunted.stdout);
    ensure!(hunted.status.code() == Some(1), "copied to {found}");
    // That the store is where it would be is seen by what else is there.
    let mut drv = std::process::Command::new("find");
    let drv = drv
        .arg(store.path())
        .args(["-name", "*-firefly-forage-config.toml.drv"])
        .output()?;
    ensure!(!drv.stdout.is_empty());
    Ok(())
}

#[test]
fn agents_that_reach_nobody_are_warned_about() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::agents_that_reach_nobody_are_warned_about")?
    else {
        return Ok(());
    };
    let warnings = evaluation.get("warnings")?;
    let warnings = warnings.as_array().context("no warnings")?;
    let [unsaid, none, full, without] = warnings.as_slice() else {
        bail!("{warnings:?}");
    };
    let said = unsaid.to_string();
    for wanted in [
        "templates.t has agents with credentials and no network",
        "network = \\\"full\\\"",
    ] {
        ensure!(said.contains(wanted), "{said}");
    }
    ensure!(
        is_empty(none) && is_empty(full) && is_empty(without),
        "{warnings:?}"
    );
    Ok(())
}

/// Whether a list has nothing in it.
pub(crate) fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}
