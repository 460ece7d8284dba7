//! The login of Claude Code on this host.

use clap::{Args, Subcommand};

/// Keep the login of Claude Code on this host current in your sandboxes
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct HostLogin {
    /// What to do.
    #[command(subcommand)]
    pub verb: HostLoginVerb,
}

/// The verbs of `host-login`.
#[derive(Debug, Subcommand)]
pub enum HostLoginVerb {
    Watch(HostLoginWatch),
}

/// Hand the login to the daemon whenever it changes, until interrupted
///
/// `up`, `start` and `auth refresh` hand it over once; Claude Code renews it every few hours. This is
/// what the user service forage-host-login.service runs. The file is .credentials.json in
/// $CLAUDE_CONFIG_DIR, else in ~/.claude; only the access token and its expiry leave it, never the
/// refresh token. Nothing is taken back when this ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  systemctl --user enable --now forage-host-login.service
  forage-ctl host-login watch")]
pub struct HostLoginWatch {}
