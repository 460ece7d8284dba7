//! Looking at sandboxes and templates.

use clap::Args;
use forage_api::ident::SandboxName;

/// List your sandboxes
///
/// CREDENTIALS is how the worst of them is while the sandbox runs: ok, expiring (within 30 days),
/// revoked, stale (a change has not arrived), none, expired. `forage-ctl auth status` says more.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl ps --watch
  forage-ctl ps --json | jq -r '.sandboxes[].name'")]
pub struct Ps {
    /// Show the list again whenever it changes, until interrupted; with --json a line each
    #[arg(short, long)]
    pub watch: bool,
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}

/// Describe one sandbox and what its agents were given
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forage-ctl status s1")]
pub struct Status {
    /// The sandbox
    pub name: SandboxName,
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}

/// List the templates sandboxes are made from
#[derive(Debug, Args)]
pub struct Templates {
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}
