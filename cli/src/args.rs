//! The command line: verbs, options and their help.

use clap::{Args, Parser, Subcommand};
use forage_api::ident::SandboxName;

mod auth;
mod claude;
mod completion;
mod exec;
mod host_login;
mod lifecycle;
mod look;
mod parse;
mod terminal;
mod watch;

pub use auth::{Auth, AuthCheck, AuthRefresh, AuthRevoke, AuthStatus, AuthVerb};
pub use claude::{Claude, ClaudeVerb, Token, TokenRemove, TokenStatus, TokenStore, TokenVerb};
pub use completion::Completion;
pub use exec::Exec;
pub use host_login::{HostLogin, HostLoginVerb, HostLoginWatch};
pub use lifecycle::{Down, Start, Stop, Up};
pub use look::{Ps, Status, Templates};
pub use parse::{Refusal, parse};
pub use terminal::{Agent, Attach, Shell};
pub use watch::{Goal, Logs, Wait};

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
    /// Print errors and warnings only; ps and templates print names only
    #[arg(short, long, global = true, help_heading = "Options of every verb")]
    pub quiet: bool,
    /// Do not show how far it is
    #[arg(long, global = true, help_heading = "Options of every verb")]
    pub no_progress: bool,
    /// Act on the sandboxes and the token of this user (for root)
    #[arg(
        long,
        global = true,
        value_name = "USER",
        help_heading = "Options of every verb"
    )]
    pub owner: Option<String>,
}

/// The verbs. Each one's help stands with its arguments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Up(Up),
    Down(Down),
    Start(Start),
    Stop(Stop),
    Ps(Ps),
    Status(Status),
    Shell(Shell),
    Attach(Attach),
    Agent(Agent),
    Logs(Logs),
    Wait(Wait),
    Exec(Exec),
    Templates(Templates),
    Auth(Auth),
    Claude(Claude),
    HostLogin(HostLogin),
    Completion(Completion),
}

impl Verb {
    /// The sandbox it is about, if it is about a single one that should be there.
    pub fn sandbox(&self) -> Option<&SandboxName> {
        match self {
            Self::Down(Down { names, .. })
            | Self::Start(Start { names })
            | Self::Stop(Stop { names, .. }) => only(names),
            Self::Auth(auth) => only(auth.verb.names()),
            Self::Status(arguments) => Some(&arguments.name),
            Self::Exec(arguments) => Some(&arguments.name),
            Self::Shell(arguments) => Some(&arguments.name),
            Self::Attach(arguments) => Some(&arguments.name),
            Self::Agent(arguments) => Some(&arguments.name),
            Self::Logs(arguments) => Some(&arguments.name),
            Self::Wait(arguments) => Some(&arguments.name),
            Self::Up(_)
            | Self::Ps(_)
            | Self::Templates(_)
            | Self::Claude(_)
            | Self::HostLogin(_)
            | Self::Completion(_) => None,
        }
    }
}

fn only(names: &[SandboxName]) -> Option<&SandboxName> {
    match names {
        [name] => Some(name),
        _ => None,
    }
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
