//! Who wants to hear of changes: connections that asked, about their own sandboxes, until they leave.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use forage_api::names::OBJECT_PATH;
use forage_api::{ErrorKind, Failure};
use tokio::sync::mpsc;
use zbus::Connection;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::{BusName, UniqueName};
use zbus::object_server::SignalEmitter;

use super::manager::Manager;
use crate::core::Change;
use crate::stream::next;

/// How many connections may listen, per user and in all.
const MOST_PER_USER: usize = 64;
const MOST: usize = 1024;

/// The connections that listen.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    by_name: Mutex<HashMap<String, u32>>,
}

impl Subscribers {
    /// Adds a connection.
    pub(super) fn add(&self, name: &str, uid: u32) -> Result<(), Failure> {
        let mut by_name = self.by_name();
        if by_name.contains_key(name) {
            return Ok(());
        }
        let own = by_name.values().filter(|other| **other == uid).count();
        if own >= MOST_PER_USER || by_name.len() >= MOST {
            let message = "too many connections listen already";
            return Err(Failure::new(ErrorKind::LimitReached, message));
        }
        by_name.insert(name.to_owned(), uid);
        Ok(())
    }

    /// Asks the bus to tell who leaves.
    pub(crate) async fn departures(
        connection: &Connection,
    ) -> zbus::Result<NameOwnerChangedStream> {
        DBusProxy::new(connection)
            .await?
            .receive_name_owner_changed()
            .await
    }

    /// Tells changes and forgets who leaves, for as long as the connection lives.
    pub(crate) async fn run(
        &self,
        connection: &Connection,
        mut departures: NameOwnerChangedStream,
        mut changes: mpsc::Receiver<Change>,
    ) {
        loop {
            tokio::select! {
                change = changes.recv() => {
                    let Some(change) = change else { return };
                    self.tell(connection, &change).await;
                }
                departure = next(&mut departures) => {
                    let Some(departure) = departure else { return };
                    if let Ok(args) = departure.args()
                        && args.new_owner().is_none()
                    {
                        self.by_name().remove(args.name().as_str());
                    }
                }
            }
        }
    }

    async fn tell(&self, connection: &Connection, change: &Change) {
        let listeners: Vec<String> = self
            .by_name()
            .iter()
            .filter(|(_, uid)| **uid == change.owner)
            .map(|(name, _)| name.clone())
            .collect();
        let state = change.state.map_or("", |state| state.as_str());
        for listener in listeners {
            let Some(emitter) = emitter(connection, &listener) else {
                continue;
            };
            // One who cannot be told has left, or does not listen.
            let _told = Manager::sandbox_changed(&emitter, &change.name, state).await;
        }
    }

    fn by_name(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn emitter<'a>(connection: &Connection, listener: &'a str) -> Option<SignalEmitter<'a>> {
    let name = UniqueName::try_from(listener).ok()?;
    let emitter = SignalEmitter::new(connection, OBJECT_PATH).ok()?;
    Some(emitter.set_destination(BusName::from(name)))
}
