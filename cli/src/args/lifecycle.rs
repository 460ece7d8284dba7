//! Making, removing, starting and stopping sandboxes.

use std::path::PathBuf;

use clap::Args;
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
    #[arg(long, value_name = "PATH")]
    pub repo: Option<PathBuf>,
}

/// Remove a sandbox, stopping it first if it runs
///
/// Your repository is never touched. A workspace of the sandbox's own is removed with it when it
/// is empty; --delete-workspace also deletes the files in it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forage-ctl down s1")]
pub struct Down {
    /// The sandbox
    pub name: SandboxName,
    /// Also delete the files in a workspace of the sandbox's own
    #[arg(long)]
    pub delete_workspace: bool,
}

/// Start a stopped or failed sandbox again
///
/// Answers when the sandbox is ready.
#[derive(Debug, Args)]
pub struct Start {
    /// The sandbox
    pub name: SandboxName,
}

/// Stop a sandbox
///
/// Its services are asked to stop, then killed. The workspace stays, and `start` starts it again.
#[derive(Debug, Args)]
pub struct Stop {
    /// The sandbox
    pub name: SandboxName,
}
