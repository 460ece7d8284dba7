//! `cargo xtask testbed up|shell|down`.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use forage_tests::testbed::{self, Options, Profile, Testbed};

/// The name of the one testbed these verbs are about.
const NAME: &str = "testbed";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Boot the host and leave it running
    Up {
        /// Install release builds
        #[arg(long)]
        release: bool,
    },
    /// A shell, or one command, in the running host
    Shell {
        /// Who runs it
        #[arg(short, long, default_value = "root")]
        user: String,
        /// The command; without one, an interactive shell
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// End the host and remove everything of it
    Down,
}

pub(crate) fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Up { release } => up(release),
        Verb::Shell { user, command } => shell(&user, &command),
        Verb::Down => down(),
    }
}

fn up(release: bool) -> Result<ExitCode> {
    if testbed::running()?.iter().any(|name| name == NAME) {
        println!("The testbed is up already.");
        return Ok(ExitCode::SUCCESS);
    }
    let profile = if release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let testbed = Testbed::boot(&Options {
        name: NAME.to_owned(),
        profile,
    })?;
    if let Some(warning) = testbed.warning() {
        println!("Warning: {warning}");
    }
    let failed = testbed.run_ok("root", &["systemctl", "--failed", "--plain", "--no-legend"])?;
    for unit in failed.lines() {
        println!("Warning: failed: {}", unit.trim());
    }
    let daemon = testbed.run(
        "root",
        &["systemctl", "is-active", "firefly-forage.service"],
    )?;
    if !daemon.ok() {
        println!(
            "Warning: firefly-forage.service is {}",
            daemon.stdout.trim()
        );
    }
    testbed.leave_running()?;
    println!("The testbed is up. Enter it with `cargo xtask testbed shell -u alice`.");
    Ok(ExitCode::SUCCESS)
}

fn shell(user: &str, command: &[String]) -> Result<ExitCode> {
    let testbed = Testbed::attach(NAME)?;
    let mut argv: Vec<&str> = command.iter().map(String::as_str).collect();
    if argv.is_empty() {
        argv = vec!["bash", "--login"];
    }
    // Returns only when it fails.
    Err(testbed.command(user, &argv).exec()).context("cannot enter the testbed")
}

fn down() -> Result<ExitCode> {
    let ended = testbed::down(NAME)?;
    println!(
        "{}",
        if ended {
            "The testbed is down."
        } else {
            "No testbed was up."
        }
    );
    Ok(ExitCode::SUCCESS)
}
