//! The reference of the options.

use std::fs;

use anyhow::{Context, Result, ensure};
use forage_tests::testbed::repository;

use crate::evaluation::Evaluation;

#[test]
fn the_options_are_documented_as_they_are() -> Result<()> {
    let Some(evaluation) = Evaluation::begin("nix::the_options_are_documented_as_they_are")? else {
        return Ok(());
    };
    let rendered = evaluation.get("documentation")?;
    let rendered = rendered.as_str().context("it is no text")?;
    for option in [
        "secrets",
        "templates.<name>.agents.<name>.delivery",
        "settings",
    ] {
        let heading = format!("## `services.firefly-forage.{option}`");
        ensure!(rendered.contains(&heading), "{heading}");
    }
    let committed = fs::read_to_string(repository().join("docs/nixos-options.md"))?;
    ensure!(
        committed == rendered,
        "docs/nixos-options.md is not current; write it again with: cargo xtask docs"
    );
    Ok(())
}
