//! `shell`: the login shell of a sandbox's user on a terminal.

use crate::Error;
use crate::args::{Global, Shell};
use crate::exec::Request;
use crate::terminal::{self, Terminal};

pub(super) fn run(global: &Global, arguments: &Shell) -> Result<u8, Error> {
    let terminal = Terminal::own()?;
    let request = Request::login_shell(&terminal::variables())?.as_user(arguments.user.as_deref());
    let socket = super::converse(global, &arguments.name)?;
    terminal.run(&socket, &request)
}
