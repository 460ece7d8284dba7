//! `attach`: a sandbox's tmux session.

use forage_api::ident::SandboxName;

use crate::args::{Attach, Global};
use crate::terminal::{self, Terminal};
use crate::{Error, tmux};

pub(super) fn run(global: &Global, arguments: &Attach) -> Result<u8, Error> {
    let terminal = Terminal::own()?;
    tmux::make(&super::converse(global, &arguments.name)?)?;
    show(global, &arguments.name, terminal)
}

/// Shows the session, which is there.
pub(super) fn show(global: &Global, name: &SandboxName, terminal: Terminal) -> Result<u8, Error> {
    let request = tmux::show(&terminal::variables())?;
    terminal.run(&super::converse(global, name)?, &request)
}
