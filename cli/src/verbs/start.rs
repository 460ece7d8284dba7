//! `start`: starts stopped or failed sandboxes.

use std::time::Instant;

use forage_api::bus::ManagerProxy;

use super::report;
use super::several::Several;
use crate::Error;
use crate::args::{Global, Start};
use crate::bus::Bus;
use crate::output::moment;
use crate::output::progress::Steps;

pub(super) fn run(global: Global, arguments: &Start) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    global.offer_host_login(&bus);
    let several = Several::named(&arguments.names);
    let Some(name) = several.single() else {
        return several.run(
            &bus,
            &global,
            |manager: ManagerProxy<'static>, name| {
                let (options, begun) = (options.clone(), Instant::now());
                async move { Ok((manager.start(&name, &options).await?, begun.elapsed())) }
            },
            |name, (reply, took)| {
                report::warn(&global, &reply);
                format!("{name} is ready in {}\n", moment::took(took))
            },
        );
    };
    let mut steps = Steps::begin(name, global.progress());
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.start(name, &options).await
    });
    report::started(&global, steps, reply)
}
