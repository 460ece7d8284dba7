//! The program that talks to the daemon and to shims as no command line does.

use anyhow::{Context as _, Result};
use forage_tests::testbed::{Profile, Testbed, build};

use crate::support::Undo;

/// Where it is on the host.
pub(crate) const PROBE: &str = "/usr/local/bin/probe";

/// Puts it there.
pub(crate) fn install_probe(testbed: &'static Testbed) -> Result<Undo> {
    let binaries = build(Profile::Dev)?;
    let probe = std::fs::read(binaries.get("probe").context("cargo built no probe")?)?;
    let undo = Undo::new(testbed, format!("rm -f {PROBE}"));
    testbed.write_file(PROBE, "root", "0755", &probe)?;
    Ok(undo)
}
