//! `module.nix`: what it refuses, and with which words.

use anyhow::{Context, Result, ensure};
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
        ("cpuQuota", "per cent of one processor, such as \"150%\""),
        ("memoryMax", "size, such as \"512M\" or \"4G\""),
        ("tasksMax", "between 64 and 4194304"),
        ("agentUid", "between 1 and 65535"),
        ("agentUser", "templates.t.agentUser' is not of type"),
        ("hostPorts", "port, such as 8080 or \"udp/53\""),
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
    evaluation.get("assertions.secret-that-is-a-path-of-nix")?;
    // The file is not kept out by the assertion alone: what is built without it does not have it either.
    let built = evaluation.get("refused")?;
    ensure!(
        built.as_str().is_some_and(|path| path.ends_with(".drv")),
        "{built}"
    );
    let hunted = std::process::Command::new("grep")
        .args(["--recursive", "--files-with-matches", "CANARY-of-a-secret"])
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

/// Whether a list has nothing in it.
pub(crate) fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}
