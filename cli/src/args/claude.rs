//! Logging Claude agents in.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Log Claude agents in
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Claude {
    /// What to do.
    #[command(subcommand)]
    pub verb: ClaudeVerb,
}

/// The verbs of `claude`.
#[derive(Debug, Subcommand)]
pub enum ClaudeVerb {
    Token(Token),
}

/// Store, show or remove the long-lived token of a Claude subscription
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub struct Token {
    /// What to do.
    #[command(subcommand)]
    pub verb: TokenVerb,
}

/// The verbs of `claude token`.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    Store(TokenStore),
    Status(TokenStatus),
    Remove(TokenRemove),
}

/// Store a token and give it to running sandboxes that use it
///
/// Get one with `claude setup-token`; it lasts a year. Without an argument, a terminal asks for
/// it and does not show it. A token given as an argument works, but other users of this machine
/// can see it in the process list.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl claude token store
  forage-ctl claude token store --file token.txt
  pass show claude | forage-ctl claude token store -")]
pub struct TokenStore {
    /// The token, or `-` to read it from standard input
    #[arg(
        value_name = "TOKEN",
        conflicts_with = "file",
        hide_possible_values = true
    )]
    pub token: Vec<OsString>,
    /// Read the token from this file
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
}

/// Show whether a token is stored, when it expires and who uses it
///
/// Exits with 0 when a token is stored, also when it has expired, and with 3 when there is none.
#[derive(Debug, Args)]
pub struct TokenStatus {
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}

/// Delete the stored token and take it away from running sandboxes
#[derive(Debug, Args)]
pub struct TokenRemove {}
