//! Running commands in a sandbox.

use std::ffi::OsString;

use clap::Args;
use forage_api::ident::SandboxName;

/// Run a command in a sandbox as the agent user
///
/// Standard input, output and error are passed on, apart from each other; so are signals and the
/// exit status. The command gets the credentials of the sandbox's agents, and is killed with
/// everything it started when forage-ctl goes away.
///
/// With -t it runs on a terminal of the sandbox's own; Ctrl-] three times within a second leaves one
/// that does not answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  forage-ctl exec s1 -- claude auth status
  forage-ctl exec -it s1 -- vim README.md
  git diff | forage-ctl exec s1 -e LANG=C.UTF-8 -- claude -p 'review this'

Exit status: the command's; 128+n where signal n ended it; 127 where it was not
found; 126 where it could not be executed; 4 where the sandbox is not running;
8 where it went away meanwhile.")]
pub struct Exec {
    /// The sandbox
    pub name: SandboxName,
    /// Set a variable for the command; without a value, pass on your own (repeatable)
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub environment: Vec<OsString>,
    /// The directory to run it in, an absolute path in the sandbox [default: the workspace]
    #[arg(short = 'w', long = "workdir", value_name = "DIR")]
    pub directory: Option<OsString>,
    /// Run it on a terminal
    #[arg(short = 't', long = "tty")]
    pub terminal: bool,
    /// Accepted for those who are used to it: standard input is always passed on
    #[arg(short = 'i', long = "interactive", hide = true)]
    pub interactive: bool,
    /// The user it runs as: the agent user, or root (without credentials) [default: the agent user]
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}
