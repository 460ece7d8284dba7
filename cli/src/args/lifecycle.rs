//! Making, removing, starting and stopping sandboxes.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use forage_api::ident::{SandboxName, TemplateName};

/// Create a sandbox from a template and start it
///
/// The sandbox sees the repository as its workspace, and what its agents write there belongs to
/// you. Everything else in it is gone when it stops. Answers when the sandbox is ready.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forage-ctl up s1 -t claude --repo .")]
pub struct Up {
    /// A name for the sandbox: 1 to 32 of a-z, 0-9 and '-'
    pub name: SandboxName,
    /// The template to make it from (see `forage-ctl templates`)
    #[arg(short, long)]
    pub template: TemplateName,
    /// The directory to work on [default: an empty one, kept with the sandbox]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
}

/// Remove sandboxes, stopping first what runs
///
/// Your repository is never touched. A workspace of the sandbox's own is removed with it when it
/// is empty; --delete-workspace also deletes the files in it. Of several sandboxes each is tried;
/// the exit code is that of the first that failed.
#[derive(Debug, Args)]
#[command(
    override_usage = "forage-ctl down [OPTIONS] <NAME>...\n       forage-ctl down [OPTIONS] --all",
    after_help = "Examples:\n  forage-ctl down s1 s2\n  forage-ctl down --all --yes"
)]
pub struct Down {
    /// The sandboxes
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<SandboxName>,
    /// Remove all your sandboxes; asks first
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Do not ask; needed for --all where there is no terminal
    #[arg(short, long)]
    pub yes: bool,
    /// Also delete the files in a workspace of the sandbox's own
    #[arg(long)]
    pub delete_workspace: bool,
}

/// Start stopped or failed sandboxes again
///
/// Answers when they are ready. Of several sandboxes each is tried; the exit code is that of the
/// first that failed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forage-ctl start s1 s2")]
pub struct Start {
    /// The sandboxes
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<SandboxName>,
}

/// Stop sandboxes
///
/// Their services are asked to stop, then killed. The workspace stays, and `start` starts them
/// again. Of several sandboxes each is tried; the exit code is that of the first that failed.
#[derive(Debug, Args)]
#[command(
    override_usage = "forage-ctl stop [OPTIONS] <NAME>...\n       forage-ctl stop [OPTIONS] --all",
    after_help = "Examples:\n  forage-ctl stop s1 s2\n  forage-ctl stop --all"
)]
pub struct Stop {
    /// The sandboxes
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<SandboxName>,
    /// Stop all your sandboxes that run
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}
