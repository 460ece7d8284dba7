//! `exec`: runs a command in a sandbox.

use crate::args::{Exec, Global};
use crate::exec::{Request, Streams};
use crate::terminal::{self, Terminal};
use crate::{Error, output};

pub(super) fn run(global: &Global, arguments: &Exec) -> Result<u8, Error> {
    let terminal = arguments.terminal.then(Terminal::own).transpose()?;
    let mut environment = terminal
        .as_ref()
        .map_or_else(Vec::new, |_| terminal::variables());
    environment.extend_from_slice(&arguments.environment);
    let request = Request::new(
        &arguments.command,
        &environment,
        arguments.directory.as_deref(),
        |name| std::env::var_os(name),
    )?
    .as_user(arguments.user.as_deref());
    let socket = super::converse(global, &arguments.name)?;
    if let Some(terminal) = terminal {
        return terminal.run(&socket, &request);
    }
    let outcome = crate::exec::run(&socket, &request, Streams::own()?)?;
    outcome.trouble.iter().for_each(output::error);
    Ok(outcome.code)
}
