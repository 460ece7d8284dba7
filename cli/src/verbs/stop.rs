//! `stop`: stops a running sandbox.

use forage_api::exit;

use super::report;
use crate::Error;
use crate::args::{Global, Stop};
use crate::bus::Bus;
use crate::output::progress::Steps;
use crate::output::{self, moment};

pub(super) fn run(global: Global, arguments: &Stop) -> Result<u8, Error> {
    let name = arguments.name.as_str();
    let options = global.options();
    let bus = Bus::connect()?;
    let mut steps = Steps::begin(name);
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.stop(name, &options).await
    });
    let (took, ()) = report::ended(steps, reply)?;
    output::result(&format!("{name} is stopped ({})\n", moment::took(took)))?;
    Ok(exit::OK)
}
