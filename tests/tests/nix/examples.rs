//! The examples of the documentation of authentication: the configuration they come to is committed, and
//! the daemon takes it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use forage_tests::testbed::{Profile, build, repository};
use serde_json::Value;

use crate::evaluation::Evaluation;
use crate::module::is_empty;

/// Those in `tests/nix/cases/examples.nix`.
pub(crate) const EXAMPLES: [&str; 3] = ["token", "secrets", "agenix"];

/// What an example comes to, with store paths that are the same everywhere.
pub(crate) fn committed(example: &str) -> PathBuf {
    repository().join(format!("tests/nix/cases/{example}.toml"))
}

/// A text with store paths that are the same everywhere.
pub(crate) fn everywhere(text: &str) -> String {
    const STORE: &str = "/nix/store/";
    const HASH: usize = 32;
    let mut parts = text.split(STORE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(STORE);
        out.push_str(&"0".repeat(HASH));
        let name = part.get(HASH..).unwrap_or(part);
        // Of a whole NixOS the name tells the version, too.
        let system = "-nixos-system-forage-sandbox";
        let rest = name.strip_prefix(system).and_then(|rest| {
            let end = rest.find('"')?;
            Some(format!("{system}{}", rest.get(end..)?))
        });
        out.push_str(rest.as_deref().unwrap_or(name));
    }
    out
}

#[test]
fn the_daemon_takes_what_is_committed() -> Result<()> {
    let binaries = build(Profile::Dev)?;
    let daemon = binaries.get("foraged").context("cargo built no foraged")?;
    for example in EXAMPLES {
        let judged = Command::new(daemon)
            .arg("check-config")
            .arg(committed(example))
            .output()?;
        let said = String::from_utf8_lossy(&judged.stdout);
        ensure!(
            judged.status.success() && said == "ok\n",
            "{example}: {said}"
        );
    }
    Ok(())
}

#[test]
fn they_come_to_what_is_committed() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::they_come_to_what_is_committed")? else {
        return Ok(());
    };
    for example in EXAMPLES {
        let found = evaluation.get(&format!("examples.{example}"))?;
        ensure!(is_empty(&found["failing"]), "{example}: {found:#}");
        let config = found["config"].as_str().unwrap_or_default();
        ensure!(
            config.ends_with("-firefly-forage-config.toml.drv"),
            "{config}"
        );
        let settings: Value = serde_json::from_str(&everywhere(&found["settings"].to_string()))?;
        let committed: Value = toml::from_str(&fs::read_to_string(committed(example))?)?;
        ensure!(settings == committed, "{example}: {settings:#}");
    }
    Ok(())
}
