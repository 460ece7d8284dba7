//! Looking at sandboxes and templates.

use clap::Args;
use forage_api::ident::SandboxName;

/// List your sandboxes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  forage-ctl ps --json | jq -r '.sandboxes[].name'")]
pub struct Ps {
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
