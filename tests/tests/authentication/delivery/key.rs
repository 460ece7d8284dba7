//! An API key in a file: Claude Code asks for it, and is told so beside the template's own settings.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, beside_others};

const SETTINGS: &str = "/etc/claude-code/managed-settings.d/zz-forage.json";

#[test]
fn a_key_in_a_file_is_asked_for_in_trees_and_systems() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    for template in ["claude-key-file", "store-key-file"] {
        let sandbox = Sandbox::up(testbed, "bob", template, template, &[])?;
        let settings = sandbox.exec_ok(&["cat", SETTINGS])?;
        ensure!(
            settings.contains("cat /run/secrets/anthropic") && !settings.contains("sk-ant"),
            "{template}: {settings}"
        );
        let owner = sandbox.exec_ok(&["stat", "-c", "%U %a", SETTINGS])?;
        ensure!(owner == "root 644", "{template}: {owner}");
        ensure!(!sandbox.exec(&["printenv", "ANTHROPIC_API_KEY"])?.ok());
        let status = sandbox.exec_ok(&["claude", "auth", "status"])?;
        ensure!(status.contains("\"apiKeyHelper\""), "{template}: {status}");
        let credential = sandbox.status()?["credentials"][0].take();
        ensure!(
            credential["delivery"] == "file" && credential["variable"].is_null(),
            "{template}: {credential}"
        );
    }
    Ok(())
}

#[test]
fn no_other_sandbox_has_such_settings() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "no-settings", "claude-key", &[])?;
    ensure!(!sandbox.exec(&["test", "-e", SETTINGS])?.ok());
    Ok(())
}
