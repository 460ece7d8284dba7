//! Sessions on a terminal.

use std::ffi::OsString;

use clap::Args;
use forage_api::ident::{AgentName, SandboxName};

/// Open a shell in a sandbox
///
/// It is the login shell of the agent user, in the workspace, or of the sandbox's root. It ends with
/// your terminal, and what it left in the foreground or stopped with it; `attach` has one that stays.
/// Ctrl-] three times within a second leaves a session that does not answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl shell s1
  forage-ctl shell s1 -u root

Exit status: the shell's; 128+n where signal n ended it or forage-ctl; 4 where the
sandbox is not running; 8 where it went away meanwhile.")]
pub struct Shell {
    /// The sandbox
    pub name: SandboxName,
    /// Whose shell: the agent user's, or root's (without credentials) [default: the agent user]
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
}

/// Show a sandbox's tmux session
///
/// The session is called `forage` and is made when there is none. It stays when your terminal goes,
/// and ends with the sandbox; Ctrl-b d leaves it. Several terminals can show it at once.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forage-ctl attach s1")]
pub struct Attach {
    /// The sandbox
    pub name: SandboxName,
}

/// Start an agent in a sandbox's tmux session and show it
///
/// It gets a window of its own, with the credential of this moment, and goes on when your terminal
/// goes. One that runs there already is shown instead of started again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl agent s1
  forage-ctl agent s1 codex --detach
  forage-ctl agent s1 claude -- --continue")]
pub struct Agent {
    /// The sandbox
    pub name: SandboxName,
    /// The agent [default: the template's only one, or its first by name]
    pub agent: Option<AgentName>,
    /// Do not show it
    #[arg(short, long)]
    pub detach: bool,
    /// Arguments for the agent
    #[arg(last = true, value_name = "ARG")]
    pub arguments: Vec<OsString>,
}
