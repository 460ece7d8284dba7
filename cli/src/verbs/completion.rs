//! `completion`: prints the script that completes command lines in a shell.

use forage_api::exit;

use crate::args::Completion;
use crate::{Error, output};

pub(super) fn run(arguments: &Completion) -> Result<u8, Error> {
    output::result(&arguments.shell.script())?;
    Ok(exit::OK)
}
