//! Reading what sandboxes say, and waiting for them.

use clap::{Args, ValueEnum};
use forage_api::ident::SandboxName;

/// Show what a sandbox says
///
/// While it runs, its own journal. With --start, or when it does not run or is frozen, the log of its
/// last start and run: the steps, and what was written to its console, also after it failed. That log
/// is kept on the host until the sandbox is removed, two files of 256 KiB at most.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl logs s1 -n 50
  forage-ctl logs s1 --start -f

With -f it ends when the sandbox does. On a terminal, what would act on it is
written out; into a pipe, everything goes as it is.")]
pub struct Logs {
    /// The sandbox
    pub name: SandboxName,
    /// Go on as more is said
    #[arg(short, long)]
    pub follow: bool,
    /// The last N lines only [default: all; with -f: 10]
    #[arg(short = 'n', long, value_name = "N", value_parser = number, allow_negative_numbers = true)]
    pub lines: Option<usize>,
    /// The log of its last start and run
    #[arg(long)]
    pub start: bool,
}

fn number(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "--lines takes a whole number")
}

/// Wait until a sandbox is in a state
///
/// Prints the state it is in then.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl wait s1 && echo s1 is done
  forage-ctl wait s1 --state running,failed

Exit codes: 0 it is in the state; 3 there is no such sandbox, or it was removed
while it was waited for in another state; 8 it failed while it was waited for as
running.")]
pub struct Wait {
    /// The sandbox
    pub name: SandboxName,
    /// The state, or several of them [default: stopped, failed or removed]
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    pub states: Vec<Goal>,
}

/// A state to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// It runs
    Running,
    /// Its processes are stopped where they stand
    Frozen,
    /// It has stopped
    Stopped,
    /// It has failed
    Failed,
    /// There is no such sandbox any more
    Removed,
}
