//! The command line of `foraged`. A library of its own, so that its manual page can be made from it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

/// Runs sandboxes for AI coding agents. Started by systemd as firefly-forage.service.
#[derive(Debug, Parser)]
#[command(name = "foraged", version)]
pub struct Args {
    /// What is logged: error, warn, info, debug or trace.
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub log: LevelFilter,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else it can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judges the content of a configuration.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}
