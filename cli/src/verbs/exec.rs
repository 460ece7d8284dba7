//! `exec`: runs a command in a sandbox.

use crate::args::{Exec, Global};
use crate::bus::Bus;
use crate::exec::{Request, Streams};
use crate::{Error, output};

pub(super) fn run(global: Global, arguments: &Exec) -> Result<u8, Error> {
    let request = Request::new(
        &arguments.command,
        &arguments.environment,
        arguments.directory.as_deref(),
        |name| std::env::var_os(name),
    )?;
    let options = global.options();
    let name = arguments.name.as_str();
    let bus = Bus::connect()?;
    let socket = bus.manager(async |manager| manager.exec(name, &options).await)?;
    // From here on the daemon is not needed, and a restart of it cuts nothing.
    drop(bus);
    let outcome = crate::exec::run(&socket.into(), &request, Streams::own()?)?;
    outcome.trouble.iter().for_each(output::error);
    Ok(outcome.code)
}
