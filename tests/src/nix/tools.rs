//! The tools that look at Nix files, built from the registry of crates once.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use crate::testbed;

/// Crate, version and program.
const TOOLS: [(&str, &str, &str); 2] = [
    ("nixfmt_rs", "0.5.3", "nixfmt"),
    ("deadnix", "1.3.1", "deadnix"),
];

/// Where they are.
#[derive(Debug)]
pub struct Tools(PathBuf);

impl Tools {
    /// Builds those that are not there in the wanted version.
    pub fn install() -> Result<Self> {
        let root = testbed::cache().join("tools");
        let making = || format!("cannot make {}", root.display());
        fs::create_dir_all(&root).with_context(making)?;
        let lock = File::create(root.join("lock")).with_context(making)?;
        lock.lock()
            .context("cannot wait for another build of the tools")?;
        for (name, version, program) in TOOLS {
            let kept = root.join(format!("{program}-{version}"));
            if kept.join("bin").join(program).is_file() {
                continue;
            }
            eprintln!("testbed: building {program} (once)");
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let output = Command::new(cargo)
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--version",
                    version,
                    name,
                    "--root",
                ])
                .arg(&kept)
                .env("CARGO_TARGET_DIR", root.join("target"))
                .stdin(Stdio::null())
                .output()
                .context("cannot run cargo")?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                bail!("cannot build {name} {version}; is the registry reachable?\n{said}");
            }
        }
        Ok(Self(root))
    }

    /// Where a program is.
    pub fn place(&self, program: &str) -> Result<PathBuf> {
        let version = TOOLS
            .iter()
            .find(|tool| tool.2 == program)
            .map(|tool| tool.1);
        let version = version.with_context(|| format!("{program} is no tool of ours"))?;
        Ok(self
            .0
            .join(format!("{program}-{version}/bin"))
            .join(program))
    }

    /// Runs a program in the repository.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        Command::new(self.place(program)?)
            .args(arguments)
            .env("NO_COLOR", "1")
            .current_dir(testbed::repository())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {program}"))
    }
}
