//! The daemon on the system bus: who calls, whether they may, and passing on what is asked.
//!
//! Every method takes the same way: admission (how many requests are in flight), validation, access
//! (one table, [`access`]), the core, and the answer.

mod access;
mod admission;
mod callers;
mod gate;
mod manager;
mod memfd;
mod subscribers;
mod tokens;
mod wire;

use std::sync::Arc;

use forage_api::names::{BUS_NAME, OBJECT_PATH};
use zbus::Connection;
use zbus::fdo::RequestNameFlags;

pub(crate) use callers::BusCallers;
pub(crate) use gate::Gate;
pub(crate) use subscribers::Subscribers;

/// Exports the one object.
pub(crate) async fn export(
    connection: &Connection,
    gate: Arc<Gate>,
    subscribers: Arc<Subscribers>,
) -> zbus::Result<()> {
    let server = connection.object_server();
    server
        .at(
            OBJECT_PATH,
            manager::Manager::new(Arc::clone(&gate), subscribers),
        )
        .await?;
    server.at(OBJECT_PATH, tokens::Tokens::new(gate)).await?;
    Ok(())
}

/// Takes the name; clients find the daemon from then on.
pub(crate) async fn take_name(connection: &Connection) -> zbus::Result<()> {
    let flags = RequestNameFlags::DO_NOT_QUEUE;
    connection.request_name_with_flags(BUS_NAME, flags).await?;
    Ok(())
}
