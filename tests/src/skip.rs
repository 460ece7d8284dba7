//! Tests that cannot run say so here, so that the closing summary counts them.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::{Context, Result, bail};

/// The environment variable that names the file the skips are gathered in.
pub const SKIPS_FILE: &str = "FORAGE_TEST_SKIPS";

/// Whether what was skipped could have run on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanRun {
    /// Something has to be fetched or set up first; with `CI=true` the skip is a failure.
    Here,
    /// This kind of machine cannot run it at all.
    Elsewhere,
}

/// Records that `test` was skipped and why. The test then returns `Ok`, or passes the error on
/// when this machine was expected to run it.
pub fn skip(test: &str, why: &str, can_run: CanRun) -> Result<()> {
    if can_run == CanRun::Here && std::env::var_os("CI").is_some_and(|value| value == "true") {
        bail!("{test} was skipped although CI=true: {why}");
    }
    eprintln!("SKIPPED {test}: {why}");
    let Some(path) = std::env::var_os(SKIPS_FILE) else {
        return Ok(());
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot record the skip of {test} in {}", path.display()))?;
    writeln!(file, "{test}: {why}")
        .with_context(|| format!("cannot record the skip of {test} in {}", path.display()))
}
