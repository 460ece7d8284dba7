//! What of nixpkgs is at hand: none of it is in this repository, and none of it can be fetched from a
//! package registry.

use std::path::PathBuf;

/// nixpkgs' own `lib`, and a package set.
#[derive(Debug, Clone)]
pub struct Packages {
    /// The directory of `lib`.
    pub lib: String,
    /// The directory of the package set.
    pub nixpkgs: String,
}

impl Packages {
    /// Both, or why they are not there.
    pub fn find() -> Result<Self, String> {
        Ok(Self {
            lib: lib()?,
            nixpkgs: place("FORAGE_NIXPKGS", "nixpkgs", "default.nix")?.0,
        })
    }
}

/// The directory of nixpkgs' `lib`, or why it is not there. A checkout that has it below `lib` will do.
pub fn lib() -> Result<String, String> {
    let (top, below) = place("FORAGE_NIXPKGS_LIB", "nixpkgs.lib", "modules.nix")?;
    Ok(below.unwrap_or(top))
}

/// A directory that holds a file, itself or below `lib`, named by a variable or in its usual place.
fn place(variable: &str, usual: &str, file: &str) -> Result<(String, Option<String>), String> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let by_default = || PathBuf::from(home).join(".cache/forage").join(usual);
    let place = std::env::var_os(variable).map_or_else(by_default, PathBuf::from);
    let below = place.join("lib");
    let text = |path: &PathBuf| path.to_str().map(str::to_owned);
    if place.join(file).is_file() {
        text(&place).map(|top| (top, None))
    } else if below.join(file).is_file() {
        text(&place)
            .zip(text(&below))
            .map(|(top, below)| (top, Some(below)))
    } else {
        None
    }
    .ok_or_else(|| format!("{variable} ({}) holds no {file}", place.display()))
}
