//! The options of the NixOS module, where nixpkgs is at hand to evaluate them.

use anyhow::{Context, Result};
use forage_tests::nix::{Nix, Packages};

/// The page; `None` without nixpkgs, when the committed one has to be believed.
pub(super) fn page() -> Result<Option<String>> {
    let packages = match Packages::find() {
        Ok(packages) => packages,
        Err(why) => {
            println!("not looked at: docs/nixos-options.md: {why}");
            return Ok(None);
        }
    };
    let text = Nix::of_testbed()?.evaluate(&packages, "documentation")?;
    let text = serde_json::from_str(&text).context("the options are no text")?;
    Ok(Some(text))
}
