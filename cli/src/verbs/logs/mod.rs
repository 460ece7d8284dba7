//! `logs`: what a sandbox says.

mod kept;
mod screen;

use crate::Error;
use crate::args::{Global, Logs};
use crate::bus::Bus;

pub(super) fn run(global: Global, arguments: &Logs) -> Result<u8, Error> {
    let options = global.options();
    let name = arguments.name.as_str();
    let bus = Bus::connect()?;
    kept::show(&bus, name, &options, arguments)
}
