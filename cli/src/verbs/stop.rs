//! `stop`: stops running sandboxes.

use std::time::Instant;

use forage_api::ErrorKind;
use forage_api::bus::{ManagerProxy, SandboxRow, SandboxState};
use forage_api::exit;

use super::report;
use super::several::Several;
use crate::Error;
use crate::args::{Global, Stop};
use crate::bus::Bus;
use crate::output::moment;
use crate::output::progress::Steps;

pub(super) fn run(global: Global, arguments: &Stop) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let several = if arguments.all {
        let (several, _ids) = Several::all(&bus, &global, runs)?;
        several.settled(ErrorKind::SandboxNotRunning)
    } else {
        Several::named(&arguments.names)
    };
    if several.is_empty() {
        global.say("no sandbox runs\n")?;
        return Ok(exit::OK);
    }
    let Some(name) = several.single() else {
        return several.run(
            &bus,
            &global,
            |manager: ManagerProxy<'static>, name| {
                let (options, begun) = (options.clone(), Instant::now());
                async move {
                    manager.stop(&name, &options).await?;
                    Ok(begun.elapsed())
                }
            },
            |name, took| format!("{name} is stopped ({})\n", moment::took(took)),
        );
    };
    let mut steps = Steps::begin(name, global.progress());
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.stop(name, &options).await
    });
    let (took, ()) = report::ended(steps, reply)?;
    global.say(&format!("{name} is stopped ({})\n", moment::took(took)))?;
    Ok(exit::OK)
}

/// Tells whether there is something to stop. One that starts is tried, and found busy.
fn runs(row: &SandboxRow) -> bool {
    [
        SandboxState::Running,
        SandboxState::Frozen,
        SandboxState::Starting,
    ]
    .iter()
    .any(|state| row.state == state.as_str())
}
