//! One file per verb: it makes the request, calls the daemon and shows the answer.

mod agent;
mod attach;
mod auth;
mod claude_token;
mod completion;
pub(crate) mod condition;
mod down;
mod exec;
mod host_login;
mod logs;
mod ps;
mod report;
#[cfg(test)]
pub(crate) mod samples;
mod several;
mod shell;
mod start;
mod status;
mod stop;
mod templates;
mod up;
mod wait;

use std::os::fd::OwnedFd;

use forage_api::bus::OwnerOptions;
use forage_api::ident::SandboxName;

use crate::args::{
    AuthVerb, ClaudeVerb, Cli, Global, HostLoginVerb, HostLoginWatch, TokenRemove, TokenVerb, Verb,
};
use crate::bus::Bus;
use crate::{Error, near, output};

/// Does what the command line says and gives the exit code.
///
/// # Errors
/// Why it was not done.
pub fn run(arguments: Cli) -> Result<u8, Error> {
    let Cli { global, verb } = arguments;
    let owner = global.owner.clone();
    let asked = verb.sandbox().map(ToString::to_string);
    act(global, verb).map_err(|error| match asked {
        Some(name) => near::sandbox(error, &name, owner.as_deref()),
        None => error,
    })
}

fn act(global: Global, verb: Verb) -> Result<u8, Error> {
    match verb {
        Verb::Up(arguments) => up::run(global, &arguments),
        Verb::Down(arguments) => down::run(global, &arguments),
        Verb::Start(arguments) => start::run(global, &arguments),
        Verb::Stop(arguments) => stop::run(global, &arguments),
        Verb::Ps(arguments) => ps::run(global, &arguments),
        Verb::Status(arguments) => status::run(global, &arguments),
        Verb::Shell(arguments) => shell::run(&global, &arguments),
        Verb::Attach(arguments) => attach::run(&global, &arguments),
        Verb::Agent(arguments) => agent::run(&global, &arguments),
        Verb::Exec(arguments) => exec::run(&global, &arguments),
        Verb::Logs(arguments) => logs::run(global, &arguments),
        Verb::Wait(arguments) => wait::run(global, &arguments),
        Verb::Templates(arguments) => templates::run(&global, &arguments),
        Verb::Completion(arguments) => completion::run(&arguments),
        Verb::Auth(arguments) => match arguments.verb {
            AuthVerb::Status(arguments) => auth::status::run(&global, &arguments),
            AuthVerb::Refresh(arguments) => auth::refresh::run(&global, &arguments),
            AuthVerb::Revoke(arguments) => auth::revoke::run(&global, &arguments),
            AuthVerb::Check(arguments) => auth::check::run(&global, &arguments),
        },
        Verb::HostLogin(arguments) => {
            let HostLoginVerb::Watch(HostLoginWatch {}) = arguments.verb;
            host_login::watch(&global)
        }
        Verb::Claude(arguments) => {
            let ClaudeVerb::Token(token) = arguments.verb;
            match token.verb {
                TokenVerb::Store(arguments) => claude_token::store::run(global, arguments),
                TokenVerb::Status(arguments) => claude_token::status::run(global, &arguments),
                TokenVerb::Remove(TokenRemove {}) => claude_token::remove::run(global),
            }
        }
    }
}

/// Opens a conversation with a running sandbox's shim. From then on the daemon is not needed, and a
/// restart of it cuts nothing.
fn converse(global: &Global, name: &SandboxName) -> Result<OwnedFd, Error> {
    let options = global.options();
    let socket =
        Bus::connect()?.manager(async |manager| manager.exec(name.as_str(), &options).await)?;
    Ok(socket.into())
}

impl Global {
    /// Hands the daemon the login on this host before something that may use it.
    fn offer_host_login(&self, bus: &Bus) {
        if crate::host_login::may_offer(self.owner.as_deref()) {
            crate::host_login::offer(bus).tell(self.verbose);
        }
    }

    fn options(&self) -> OwnerOptions {
        OwnerOptions {
            owner: self.owner.clone(),
        }
    }

    /// Whether it is shown how far a long call is.
    fn progress(&self) -> bool {
        !self.quiet && !self.no_progress
    }

    /// Tells what was done, unless only what went wrong is wanted.
    fn say(&self, text: &str) -> Result<(), Error> {
        if self.quiet {
            return Ok(());
        }
        output::result(text)
    }
}
