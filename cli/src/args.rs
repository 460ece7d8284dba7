//! The command line: verbs, options and their help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use forage_api::ident::{SandboxName, TemplateName};

mod parse;

pub use parse::{Refusal, parse};

const EXIT_CODES: &str = "\
Exit codes:
  0  done                             5  denied
  1  failed                           6  the daemon cannot be reached
  2  the command line is wrong        7  busy, or a limit is reached
  3  no such sandbox, template, …     8  the sandbox failed
  4  exists, or is in the wrong state
exec exits as its command did, with 128+n where signal n ended it.";

/// Run AI coding agents in sandboxes
///
/// forage-ctl asks the daemon foraged over the system bus. You must be a member of the group forage;
/// you see and change your own sandboxes only.
#[derive(Debug, Parser)]
#[command(
    name = "forage-ctl",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = EXIT_CODES
)]
pub struct Cli {
    /// Options every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options every verb takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Also say how it was done, as lines of level=DEBUG on standard error
    #[arg(short, long, global = true, help_heading = "Options of every verb")]
    pub verbose: bool,
    /// Act on the sandboxes and the token of this user (for root)
    #[arg(
        long,
        global = true,
        value_name = "USER",
        help_heading = "Options of every verb"
    )]
    pub owner: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create a sandbox from a template and start it
    ///
    /// The sandbox sees the repository as its workspace, and what its agents write there belongs to
    /// you. Everything else in it is gone when it stops. Answers when the sandbox is ready.
    #[command(after_help = "Example:\n  forage-ctl up s1 -t claude --repo .")]
    Up(Up),
    /// Remove a sandbox, stopping it first if it runs
    ///
    /// Your repository is never touched. A workspace of the sandbox's own is removed with it when it
    /// is empty; --delete-workspace also deletes the files in it.
    #[command(after_help = "Example:\n  forage-ctl down s1")]
    Down(Down),
    /// Start a stopped or failed sandbox again
    ///
    /// Answers when the sandbox is ready.
    Start(Named),
    /// Stop a sandbox
    ///
    /// Its services are asked to stop, then killed. The workspace stays, and `start` starts it again.
    Stop(Named),
    /// List your sandboxes
    #[command(after_help = "Example:\n  forage-ctl ps --json | jq -r '.sandboxes[].name'")]
    Ps(Json),
    /// Describe one sandbox and what its agents were given
    #[command(after_help = "Example:\n  forage-ctl status s1")]
    Status(Status),
    /// Run a command in a sandbox as the agent user
    ///
    /// Standard input, output and error are passed on, apart from each other; so are signals and the
    /// exit status. The command gets the credentials of the sandbox's agents, and is killed with
    /// everything it started when forage-ctl goes away.
    #[command(after_help = "\
Examples:
  forage-ctl exec s1 -- claude auth status
  git diff | forage-ctl exec s1 -e LANG=C.UTF-8 -- claude -p 'review this'

Exit status: the command's; 128+n where signal n ended it; 127 where it was not
found; 126 where it could not be executed; 4 where the sandbox is not running;
8 where it went away meanwhile.")]
    Exec(Exec),
    /// List the templates sandboxes are made from
    Templates(Json),
    /// Log Claude agents in
    #[command(arg_required_else_help = true, subcommand_required = true)]
    Claude(Claude),
}

/// Arguments of `up`.
#[derive(Debug, Args)]
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

/// Arguments of `down`.
#[derive(Debug, Args)]
pub struct Down {
    /// The sandbox
    pub name: SandboxName,
    /// Also delete the files in a workspace of the sandbox's own
    #[arg(long)]
    pub delete_workspace: bool,
}

/// Arguments of verbs that only need a sandbox.
#[derive(Debug, Args)]
pub struct Named {
    /// The sandbox
    pub name: SandboxName,
}

/// Arguments of verbs that only read.
#[derive(Debug, Args)]
pub struct Json {
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// The sandbox
    pub name: SandboxName,
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The sandbox
    pub name: SandboxName,
    /// Set a variable for the command; without a value, pass on your own (repeatable)
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub environment: Vec<OsString>,
    /// The directory to run it in, an absolute path in the sandbox [default: the workspace]
    #[arg(short = 'w', long = "workdir", value_name = "DIR")]
    pub directory: Option<OsString>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Arguments of `claude`.
#[derive(Debug, Args)]
pub struct Claude {
    /// What to do.
    #[command(subcommand)]
    pub verb: ClaudeVerb,
}

/// The verbs of `claude`.
#[derive(Debug, Subcommand)]
pub enum ClaudeVerb {
    /// Store, show or remove the long-lived token of a Claude subscription
    #[command(arg_required_else_help = true, subcommand_required = true)]
    Token(Token),
}

/// Arguments of `claude token`.
#[derive(Debug, Args)]
pub struct Token {
    /// What to do.
    #[command(subcommand)]
    pub verb: TokenVerb,
}

/// The verbs of `claude token`.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Store a token and give it to running sandboxes that use it
    ///
    /// Get one with `claude setup-token`; it lasts a year. Without an argument, a terminal asks for
    /// it and does not show it. A token given as an argument works, but other users of this machine
    /// can see it in the process list.
    #[command(after_help = "\
Examples:
  forage-ctl claude token store
  forage-ctl claude token store --file token.txt
  pass show claude | forage-ctl claude token store -")]
    Store(TokenStore),
    /// Show whether a token is stored, when it expires and who uses it
    ///
    /// Exits with 0 when a token is stored, also when it has expired, and with 3 when there is none.
    Status(Json),
    /// Delete the stored token and take it away from running sandboxes
    Remove,
}

/// Arguments of `claude token store`.
#[derive(Debug, Args)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn helps(command: &mut clap::Command, path: &str, text: &mut String) {
        let help = command.render_long_help();
        text.push_str(&format!("===== {path}\n{help}\n"));
        for verb in command.get_subcommands_mut() {
            if verb.get_name() != "help" {
                let path = format!("{path} {}", verb.get_name());
                helps(verb, &path, text);
            }
        }
    }

    #[test]
    fn the_help_of_every_verb() {
        let mut command = Cli::command().term_width(90);
        command.build();
        let mut text = String::new();
        helps(&mut command, "forage-ctl", &mut text);
        insta::assert_snapshot!(text);
        Cli::command().debug_assert();
    }
}
