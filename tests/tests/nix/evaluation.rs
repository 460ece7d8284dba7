//! Asking `tests/nix/default.nix`.

use std::process::Output;

use anyhow::{Context, Result};
use forage_tests::nix::{Nix, Packages};
use forage_tests::skip::{CanRun, skip};
use serde_json::Value;

/// A Nix with nixpkgs.
pub(crate) struct Evaluation {
    pub(crate) nix: Nix,
    pub(crate) packages: Packages,
}

impl Evaluation {
    /// `None`, said and counted, where nixpkgs is not at hand.
    pub(crate) fn begin(test: &str) -> Result<Option<Self>> {
        let packages = match Packages::find() {
            Ok(packages) => packages,
            Err(why) => {
                // No package registry has nixpkgs.
                skip(test, &why, CanRun::Elsewhere)?;
                return Ok(None);
            }
        };
        let nix = Nix::of_testbed()?;
        Ok(Some(Self { nix, packages }))
    }

    /// The same with a store of its own.
    pub(crate) fn with_store(self, store: &std::path::Path) -> Self {
        Self {
            nix: self.nix.with_store(store),
            ..self
        }
    }

    /// Evaluates an attribute.
    pub(crate) fn try_get(&self, attribute: &str) -> Result<Output> {
        self.nix.try_evaluate(&self.packages, attribute)
    }

    /// The value of an attribute.
    pub(crate) fn get(&self, attribute: &str) -> Result<Value> {
        let text = self.nix.evaluate(&self.packages, attribute)?;
        serde_json::from_str(&text).with_context(|| format!("{attribute} is no JSON"))
    }
}
