//! Nix, for what is evaluated and looked at without booting a host: that of the testbed's tree, run on
//! this machine with a store of its own.

mod packages;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::testbed::{self, repository};

pub use packages::{Packages, lib};
pub use tools::Tools;

/// Nothing is fetched, nothing is built, and no daemon is asked.
const CONFIG: &str = "\
substitute = false
build-users-group =
experimental-features = nix-command flakes
warn-dirty = false
";

/// The programs of one Nix, their store, and variables of their environment.
#[derive(Debug, Clone)]
pub struct Nix {
    tree: PathBuf,
    store: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Nix {
    /// That of the testbed's host tree, which is built if it is not there yet. Its store is kept, so that
    /// what was evaluated once is evaluated faster.
    pub fn of_testbed() -> Result<Self> {
        Ok(Self {
            tree: testbed::host()?,
            store: testbed::cache().join("evaluated"),
            variables: Vec::new(),
        })
    }

    /// The same with one more variable, for what is evaluated with `--impure`.
    pub fn with_variable(&self, name: &'static str, value: &str) -> Self {
        let mut nix = self.clone();
        nix.variables.push((name, value.to_owned()));
        nix
    }

    /// The same with another store.
    pub fn with_store(&self, store: &Path) -> Self {
        Self {
            store: store.to_owned(),
            ..self.clone()
        }
    }

    /// Runs a program of Nix, such as `nix-instantiate`, in the repository.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        let home = testbed::cache().join("nix-home");
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let store = self.store.display();
        self.start(program)?
            .args(arguments)
            .current_dir(repository())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("NIX_CONFIG", format!("{CONFIG}store = {store}\n"))
            .output()
            .with_context(|| format!("cannot run {program}"))
    }

    /// Evaluates an attribute of `tests/nix/default.nix`; prints it as JSON.
    pub fn try_evaluate(&self, packages: &Packages, attribute: &str) -> Result<Output> {
        let arguments = Self::evaluation(packages, attribute);
        self.run("nix-instantiate", &arguments)
    }

    /// The same, which has to succeed.
    pub fn evaluate(&self, packages: &Packages, attribute: &str) -> Result<String> {
        let arguments = Self::evaluation(packages, attribute);
        self.run_ok("nix-instantiate", &arguments)
    }

    fn evaluation<'a>(packages: &'a Packages, attribute: &'a str) -> [&'a str; 13] {
        let Packages { lib, nixpkgs } = packages;
        let (expression, read_write) = ("tests/nix", "--read-write-mode");
        [
            "--eval", "--strict", "--json", read_write, expression, "--attr", attribute,
            "--argstr", "lib", lib, "--argstr", "nixpkgs", nixpkgs,
        ]
    }

    /// What a program prints that has to succeed.
    pub fn run_ok(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run(program, arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{program} {} failed:\n{said}", arguments.join(" "));
        }
        String::from_utf8(output.stdout).with_context(|| format!("{program} printed no text"))
    }

    /// A program of the tree, with the tree's own libraries: this machine's may be older.
    fn start(&self, program: &str) -> Result<Command> {
        let loader = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"]
            .map(|loader| self.tree.join(loader))
            .into_iter()
            .find(|loader| loader.exists())
            .context("the testbed's host has no dynamic loader")?;
        let libraries = format!("{}-linux-gnu", std::env::consts::ARCH);
        let mut command = Command::new(loader);
        command
            .args(["--argv0", program, "--library-path"])
            .arg(self.tree.join("usr/lib").join(libraries))
            .arg(self.tree.join("usr/bin").join(program));
        Ok(command)
    }
}
