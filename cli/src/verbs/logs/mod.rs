//! `logs`: what a sandbox says.

mod journal;
mod kept;
mod screen;

use forage_api::ErrorKind;

use crate::args::{Global, Logs};
use crate::bus::Bus;
use crate::{Error, output};

pub(super) fn run(global: Global, arguments: &Logs) -> Result<u8, Error> {
    let options = global.options();
    let name = arguments.name.as_str();
    if !arguments.start {
        let shown = super::converse(&global, &arguments.name)
            .and_then(|socket| journal::show(&socket, arguments));
        let why = match shown {
            Err(error) => match error.kind {
                Some(ErrorKind::SandboxNotRunning) => "does not run",
                Some(ErrorKind::SandboxFrozen) => "is frozen",
                Some(ErrorKind::CommandNotFound) => "has no journalctl",
                _ => return Err(error),
            },
            Ok(code) => return Ok(code),
        };
        if !global.quiet {
            output::note(&format!(
                "sandbox {name} {why}; this is the log of its last start and run\n"
            ));
        }
    }
    kept::show(&Bus::connect()?, name, &options, arguments)
}
