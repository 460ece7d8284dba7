//! Every Nix file: its grammar, its format, and what in it nobody uses. These need nothing of nixpkgs.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use forage_tests::nix::{Nix, Tools};
use forage_tests::testbed::repository;

/// The Nix files of the repository.
fn files() -> Result<Vec<String>> {
    let mut found = Vec::new();
    gather(&repository(), &mut found)?;
    found.sort();
    ensure!(found.len() > 20, "{found:?}");
    for expected in ["module.nix", "flake.nix", "nix/sandbox-system.nix"] {
        ensure!(found.iter().any(|file| file == expected), "{expected}");
    }
    Ok(found)
}

fn gather(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                gather(&path, found)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "nix") {
            found.push(path.strip_prefix(repository())?.display().to_string());
        }
    }
    Ok(())
}

#[test]
fn they_are_nix() -> Result<()> {
    let nix = Nix::of_testbed()?;
    let files = files()?;
    for file in &files {
        nix.run_ok("nix-instantiate", &["--parse", file])?;
    }
    Ok(())
}

#[test]
fn they_are_formatted() -> Result<()> {
    let tools = Tools::install()?;
    let files = files()?;
    let mut arguments = vec!["--check"];
    arguments.extend(files.iter().map(String::as_str));
    let output = tools.run("nixfmt", &arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{said}\nformat them with: nix fmt, or {} FILE",
        tools.place("nixfmt")?.display()
    );
    Ok(())
}

#[test]
fn everything_in_them_is_used() -> Result<()> {
    let tools = Tools::install()?;
    let files = files()?;
    let mut arguments = vec!["--fail"];
    arguments.extend(files.iter().map(String::as_str));
    let output = tools.run("deadnix", &arguments)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    Ok(())
}
