//! Putting the one object on the bus, then the name clients know; and leaving again.

use std::sync::Arc;

use forage_api::names::{BUS_NAME, OBJECT_PATH};
use zbus::Connection;
use zbus::fdo::{self, RequestNameFlags};

use super::gate::Gate;
use super::subscribers::Subscribers;
use super::{manager, tokens};

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

/// Gives the name back: what is asked from now on waits for the next daemon.
pub(crate) async fn give_name_back(connection: &Connection) -> zbus::Result<()> {
    connection.release_name(BUS_NAME).await?;
    Ok(())
}

/// Waits until the answers that are ready have been sent: the bus answers this after them.
pub(crate) async fn flush(connection: &Connection) -> zbus::Result<()> {
    fdo::DBusProxy::new(connection).await?.get_id().await?;
    Ok(())
}
