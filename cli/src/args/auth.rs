//! What agents are logged in with: looking at it, bringing it up to date, taking it away.

use clap::{Args, Subcommand};
use forage_api::ident::SandboxName;

/// Show, refresh, revoke and check the credentials of agents
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Auth {
    /// What to do.
    #[command(subcommand)]
    pub verb: AuthVerb,
}

/// The verbs of `auth`.
#[derive(Debug, Subcommand)]
pub enum AuthVerb {
    Status(AuthStatus),
    Refresh(AuthRefresh),
    Revoke(AuthRevoke),
    Check(AuthCheck),
}

impl AuthVerb {
    /// The sandboxes it names.
    pub fn names(&self) -> &[SandboxName] {
        match self {
            Self::Status(arguments) => arguments.name.as_slice(),
            Self::Refresh(arguments) => &arguments.names,
            Self::Revoke(arguments) => &arguments.names,
            Self::Check(arguments) => std::slice::from_ref(&arguments.name),
        }
    }
}

/// Show what each agent was given, by sandbox
///
/// Says where it comes from, how it reaches the agent and when a new value is used: at once by
/// processes that run (live), or by those started from then on (next launch). Equal fingerprints are
/// equal values. That something was delivered does not say that its vendor accepts it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl auth status
  forage-ctl auth status s1 --json")]
pub struct AuthStatus {
    /// The sandbox [default: all of yours]
    pub name: Option<SandboxName>,
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}

/// Bring credentials up to date, also those that were revoked
///
/// Reads secret files and the login on this host again, gives back what was revoked, and lets a
/// frozen sandbox go on. A sandbox that does not run gets its credentials when it starts. Of several
/// sandboxes each is tried; the exit code is that of the first that failed.
#[derive(Debug, Args)]
#[command(
    override_usage = "forage-ctl auth refresh [OPTIONS] <NAME>...\n       forage-ctl auth refresh [OPTIONS] --all",
    after_help = "Examples:\n  forage-ctl auth refresh s1 s2\n  forage-ctl auth refresh --all"
)]
pub struct AuthRefresh {
    /// The sandboxes
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<SandboxName>,
    /// All your sandboxes
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

/// Take credentials away at once, and keep them away until `auth refresh`
///
/// Says what each sandbox held. A start brings nothing back. Processes that got theirs in a variable
/// keep the value until they end: --stop ends them, --freeze stops them where they stand to be looked
/// into. Nothing is asked. What an agent has read it may have sent away: revoke it at its vendor, too.
#[derive(Debug, Args)]
#[command(
    override_usage = "forage-ctl auth revoke [OPTIONS] <NAME>...\n       forage-ctl auth revoke [OPTIONS] --all",
    after_help = "\
Examples:
  forage-ctl auth revoke s1 --freeze
  forage-ctl auth revoke --all --stop

Exit codes: 0 it was taken away everywhere; 1 somewhere it could not be yet, or the
sandbox could not be frozen or stopped."
)]
pub struct AuthRevoke {
    /// The sandboxes
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<SandboxName>,
    /// All your sandboxes
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Then stop their processes where they stand
    #[arg(long, conflicts_with = "stop")]
    pub freeze: bool,
    /// Then stop the sandboxes
    #[arg(long)]
    pub stop: bool,
}

/// Find out whether the agents of a running sandbox are logged in by what was delivered
///
/// Says what was delivered, has Claude Code say for itself whether it is logged in, and looks for what
/// competes: variables, also of processes and of tmux, settings of Claude Code, and logins of the agents'
/// own. Shows no value. What the agent says is its own word, and no vendor is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  forage-ctl auth check s1

Exit codes: 0 nothing was found that stands against it; 1 something was, and is
told with what to do; 4 the sandbox is not running.")]
pub struct AuthCheck {
    /// The sandbox
    pub name: SandboxName,
}
