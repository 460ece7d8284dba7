//! `cargo xtask`: the project's chores.

mod bench;
mod demo;
mod docs;
mod report;
mod story;
mod test;
mod testbed;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Firefly Forage's chores")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the main job on a real systemd host, step by step
    Demo,
    /// Run every check and test, with one closing summary
    Test,
    /// Measure against plain systemd
    Bench,
    /// Write what is made from the sources: completions, manual pages, references, the NixOS module's table
    Docs {
        /// Only say what is not current
        #[arg(long)]
        check: bool,
    },
    /// Start, enter or end a real systemd host with everything installed
    Testbed {
        #[command(subcommand)]
        verb: testbed::Verb,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Demo => demo::run(),
        Verb::Test => test::run(),
        Verb::Bench => bench::run(),
        Verb::Docs { check } => docs::run(check),
        Verb::Testbed { verb } => testbed::run(verb),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
