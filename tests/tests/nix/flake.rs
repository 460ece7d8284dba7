//! `flake.nix`, and what there is without flakes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use forage_tests::nix::Nix;
use forage_tests::testbed::repository;
use serde_json::Value;

use crate::evaluation::Evaluation;

const SYSTEMS: [&str; 2] = ["x86_64-linux", "aarch64-linux"];
const PER_SYSTEM: [&str; 4] = ["checks", "devShells", "formatter", "packages"];

/// What flakes see of the repository: no more than that, since Nix copies it.
const FILES: [&str; 15] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "api",
    "cli",
    "daemon",
    "docs",
    "flake.lock",
    "flake.nix",
    "module.nix",
    "nix",
    "shim",
    "tests",
    "xtask",
    "README.md",
];

/// A copy of the repository without what was built in it.
fn copy() -> Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    let copied = Command::new("cp")
        .arg("-r")
        .args(FILES.map(|file| repository().join(file)))
        .arg(copy.path())
        .status()?;
    ensure!(copied.success(), "cannot copy the repository");
    Ok(copy)
}

/// A flake with what is at hand in the place of nixpkgs. Its store goes with it: each change of a file makes
/// another copy of all.
struct Flake {
    nix: Nix,
    copy: tempfile::TempDir,
    _store: tempfile::TempDir,
}

impl Flake {
    fn new(evaluation: &Evaluation) -> Result<Self> {
        let packages = &evaluation.packages;
        let store = tempfile::tempdir()?;
        let nix = evaluation
            .nix
            .with_store(store.path())
            .with_variable("FORAGE_NIXPKGS_LIB", &packages.lib)
            .with_variable("FORAGE_NIXPKGS", &packages.nixpkgs);
        Ok(Self {
            nix,
            copy: copy()?,
            _store: store,
        })
    }

    fn ask(&self, verb: &[&str], attribute: &str, more: &[&str]) -> Result<Value> {
        let place = self.copy.path().display();
        let nixpkgs = format!("path:{place}?dir=tests/nix/flake");
        let flake = format!("path:{place}{attribute}");
        let mut arguments = verb.to_vec();
        arguments.extend(["--json", "--impure", "--no-write-lock-file"]);
        arguments.extend(["--override-input", "nixpkgs", &nixpkgs, &flake]);
        arguments.extend(more);
        let text = self.nix.run_ok("nix", &arguments)?;
        serde_json::from_str(&text).context("nix printed no JSON")
    }
}

#[test]
fn its_outputs_are_what_users_and_developers_ask_for() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::its_outputs_are_what_users_ask_for")? else {
        return Ok(());
    };
    let flake = Flake::new(&evaluation)?;
    let outputs = flake.ask(&["flake", "show", "--all-systems"], "", &[])?;
    for module in ["default", "firefly-forage", "sandbox"] {
        let kind = &outputs["nixosModules"][module]["type"];
        ensure!(kind == "nixos-module", "{module}: {kind}");
    }
    ensure!(outputs["overlays"]["default"]["type"] == "nixpkgs-overlay");
    for system in SYSTEMS {
        for package in ["default", "firefly-forage", "option-docs"] {
            let kind = &outputs["packages"][system][package]["type"];
            ensure!(kind == "derivation", "{system} {package}: {kind}");
        }
        // A test in a virtual machine for each file, and the checks that need none.
        let mut tests: Vec<String> = ["assertions", "nix-files", "option-docs", "package"]
            .map(str::to_owned)
            .into();
        for entry in fs::read_dir(repository().join("tests/nixos"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let name = name.strip_suffix(".nix").filter(|name| *name != "default");
            tests.extend(name.map(str::to_owned));
        }
        tests.sort();
        let checks = outputs["checks"][system].as_object();
        let checks: Vec<&String> = checks.context("no checks")?.keys().collect();
        ensure!(checks.iter().copied().eq(&tests), "{system}: {checks:?}");
    }
    Ok(())
}

#[test]
fn each_output_instantiates() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::each_output_instantiates")? else {
        return Ok(());
    };
    let flake = Flake::new(&evaluation)?;
    let names =
        "set: if set ? drvPath then set.drvPath else builtins.mapAttrs (_: one: one.drvPath) set";
    for system in SYSTEMS {
        for output in PER_SYSTEM {
            let attribute = format!("#{output}.{system}");
            let drvs = flake.ask(&["eval"], &attribute, &["--apply", names])?;
            let all: Vec<&Value> = match &drvs {
                Value::Object(drvs) => drvs.values().collect(),
                one => vec![one],
            };
            ensure!(!all.is_empty(), "{attribute}");
            for drv in all {
                let path = drv.as_str().unwrap_or_default();
                ensure!(path.ends_with(".drv"), "{attribute}: {drvs:#}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_lock_file_is_that_of_the_flake() -> Result<()> {
    let store = tempfile::tempdir()?;
    let nix = Nix::of_testbed()?.with_store(store.path());
    let copy = copy()?;
    let flake = format!("path:{}", copy.path().display());
    let arguments = [
        "flake",
        "metadata",
        "--json",
        "--no-update-lock-file",
        &flake,
    ];
    let metadata: Value = serde_json::from_str(&nix.run_ok("nix", &arguments)?)?;
    let committed = fs::read_to_string(repository().join("flake.lock"))?;
    let committed: Value = serde_json::from_str(&committed)?;
    ensure!(metadata["locks"] == committed, "{metadata:#}");
    // Nobody inherits what is needed for development alone.
    let nodes = committed["nodes"].as_object().context("no nodes")?;
    ensure!(nodes.keys().eq(["nixpkgs", "root"]), "{committed:#}");
    Ok(())
}

#[test]
fn everything_can_be_had_without_flakes() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::everything_can_be_had_without_flakes")? else {
        return Ok(());
    };
    let packages = &evaluation.packages;
    let set = format!(
        "import {} {{ lib = import {}; nixpkgs = {:?}; system = builtins.currentSystem; }}",
        expression("tests/nix/packages.nix"),
        packages.lib,
        packages.nixpkgs
    );
    let lib = format!("import {}", packages.lib);
    for attribute in [
        "packages.default",
        "packages.option-docs",
        "checks.basic",
        "devShells.default",
        "formatter",
    ] {
        let arguments = [
            "nix", "--attr", attribute, "--arg", "pkgs", &set, "--arg", "lib", &lib,
        ];
        let drv = evaluation.nix.run_ok("nix-instantiate", &arguments)?;
        ensure!(drv.trim().ends_with(".drv"), "{attribute}: {drv}");
    }
    Ok(())
}

/// A file of the repository as an expression names it.
fn expression(file: &str) -> String {
    repository().join(Path::new(file)).display().to_string()
}
