//! Building what is installed into the testbed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::paths::repository;

/// How the binaries are built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build: tests and the demo.
    #[default]
    Dev,
    /// What users run: the bench.
    Release,
}

/// Name of each binary built, and where it is.
pub type Binaries = BTreeMap<String, PathBuf>;

const PACKAGES: [&str; 4] = ["foraged", "forage-shim", "forage-ctl", "forage-tests"];

/// Builds the daemon, the shim, the CLI, the testbed's supervisor, and the programs of the tests.
pub fn build(profile: Profile) -> Result<Binaries> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(repository())
        .args([
            "build",
            "--quiet",
            "--bins",
            "--example",
            "probe",
            "--example",
            "internet",
            "--message-format=json-render-diagnostics",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo could not build the binaries; its messages are above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(executable).collect())
}

fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}
