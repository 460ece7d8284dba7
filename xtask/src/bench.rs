//! `cargo xtask bench`: figures next to plain systemd's, from one run.

use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run() -> Result<ExitCode> {
    Ok(ExitCode::FAILURE)
}
