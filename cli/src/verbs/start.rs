//! `start`: starts a stopped or failed sandbox.

use forage_api::bus::OwnerOptions;

use super::report;
use crate::Error;
use crate::args::{Global, Start};
use crate::bus::Bus;
use crate::output::progress::Steps;

pub(super) fn run(global: Global, arguments: &Start) -> Result<u8, Error> {
    let name = arguments.name.as_str();
    let options = OwnerOptions {
        owner: global.owner.clone(),
    };
    let bus = Bus::connect()?;
    let mut steps = Steps::begin(name);
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.start(name, &options).await
    });
    report::started(&global, steps, reply)
}
