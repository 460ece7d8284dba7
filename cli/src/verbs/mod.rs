//! One file per verb: it makes the request, calls the daemon and shows the answer.

mod claude_token;
mod down;
mod exec;
mod ps;
mod report;
#[cfg(test)]
pub(crate) mod samples;
mod start;
mod status;
mod stop;
mod templates;
mod up;

use forage_api::bus::OwnerOptions;

use crate::Error;
use crate::args::{ClaudeVerb, Cli, Global, TokenRemove, TokenVerb, Verb};

/// Does what the command line says and gives the exit code.
///
/// # Errors
/// Why it was not done.
pub fn run(arguments: Cli) -> Result<u8, Error> {
    let global = arguments.global;
    match arguments.verb {
        Verb::Up(arguments) => up::run(global, &arguments),
        Verb::Down(arguments) => down::run(global, &arguments),
        Verb::Start(arguments) => start::run(global, &arguments),
        Verb::Stop(arguments) => stop::run(global, &arguments),
        Verb::Ps(arguments) => ps::run(global, &arguments),
        Verb::Status(arguments) => status::run(global, &arguments),
        Verb::Exec(arguments) => exec::run(global, &arguments),
        Verb::Templates(arguments) => templates::run(&arguments),
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

impl Global {
    fn options(self) -> OwnerOptions {
        OwnerOptions { owner: self.owner }
    }
}
