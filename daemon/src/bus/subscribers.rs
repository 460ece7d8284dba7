//! Who wants to hear of changes: connections that asked, about their own sandboxes, until they leave.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use forage_api::names::OBJECT_PATH;
use forage_api::{ErrorKind, Failure};
use tokio::sync::mpsc;
use zbus::Connection;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::{BusName, UniqueName};
use zbus::object_server::SignalEmitter;

use super::manager::Manager;
use super::tokens::Tokens;
use super::wire;
use crate::core::Notice;
use crate::stream::next;

/// How many connections may listen, per user and in all.
const MOST_PER_USER: usize = 64;
const MOST: usize = 1024;
/// How long the bus may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The connections that listen.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    by_name: Mutex<HashMap<String, Subscriber>>,
}

/// A connection's user, and whose sandboxes it hears of; `None` is everybody's.
type Subscriber = (u32, Option<u32>);

impl Subscribers {
    /// Adds a connection. It may have left while it was judged whether it may listen, and that is told
    /// only once, so it is asked for again afterwards.
    pub(super) async fn subscribe(
        &self,
        name: &str,
        subscriber: Subscriber,
        has_left: impl Future<Output = bool>,
    ) -> Result<(), Failure> {
        self.add(name, subscriber)?;
        if has_left.await {
            self.by_name().remove(name);
        }
        Ok(())
    }

    fn add(&self, name: &str, subscriber: Subscriber) -> Result<(), Failure> {
        let mut by_name = self.by_name();
        if by_name.contains_key(name) {
            return Ok(());
        }
        let own = by_name
            .values()
            .filter(|other| other.0 == subscriber.0)
            .count();
        if own >= MOST_PER_USER || by_name.len() >= MOST {
            let message = "too many connections listen already";
            return Err(Failure::new(ErrorKind::LimitReached, message));
        }
        by_name.insert(name.to_owned(), subscriber);
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

    /// Passes notices on and forgets who leaves, for as long as the connection lives.
    pub(crate) async fn run(
        &self,
        connection: &Connection,
        mut departures: NameOwnerChangedStream,
        mut notices: mpsc::Receiver<Notice>,
    ) {
        loop {
            tokio::select! {
                notice = notices.recv() => {
                    let Some(notice) = notice else { return };
                    self.tell(connection, &notice).await;
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

    async fn tell(&self, connection: &Connection, notice: &Notice) {
        let listeners: Vec<String> = self
            .by_name()
            .iter()
            .filter(|(_, (_, whose))| whose.is_none_or(|whose| whose == notice.owner()))
            .map(|(name, _)| name.clone())
            .collect();
        for listener in listeners {
            let Some(emitter) = emitter(connection, &listener) else {
                continue;
            };
            // One who cannot be told has left, or does not listen.
            let _told = emit(&emitter, notice.clone()).await;
        }
    }

    fn by_name(&self) -> std::sync::MutexGuard<'_, HashMap<String, Subscriber>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn emit(emitter: &SignalEmitter<'_>, notice: Notice) -> zbus::Result<()> {
    match notice {
        Notice::Sandbox(change) => {
            let state = change.state.map_or("", |state| state.as_str());
            Manager::sandbox_changed(emitter, &change.name, state).await
        }
        Notice::Rotated {
            name, credential, ..
        } => Tokens::credential_rotated(emitter, &name, wire::credential(credential)).await,
        Notice::Expiring {
            name,
            credential,
            days_left,
            ..
        } => {
            let credential = wire::credential(credential);
            Tokens::credential_expiring(emitter, &name, credential, days_left).await
        }
        Notice::Revoked { name, held, .. } => {
            Tokens::revoked(emitter, &name, wire::credentials(held)).await
        }
    }
}

/// Tells whether a connection has left the bus. Where the bus does not say, it is taken to be there:
/// its departure is still to be told then.
pub(super) async fn has_left(connection: &Connection, name: &str) -> bool {
    let asked = async {
        let bus = DBusProxy::new(connection).await.ok()?;
        bus.name_has_owner(name.try_into().ok()?).await.ok()
    };
    let here = tokio::time::timeout(DEADLINE, asked).await;
    matches!(here, Ok(Some(false)))
}

fn emitter<'a>(connection: &Connection, listener: &'a str) -> Option<SignalEmitter<'a>> {
    let name = UniqueName::try_from(listener).ok()?;
    let emitter = SignalEmitter::new(connection, OBJECT_PATH).ok()?;
    Some(emitter.set_destination(BusName::from(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_left_too_early_to_be_missed_does_not_listen() {
        let subscribers = Subscribers::default();
        let listens = |name: &str| subscribers.by_name().contains_key(name);
        // Its departure is told before it is added, and found out after.
        let left = async {
            assert!(listens(":1.7"));
            true
        };
        subscribers
            .subscribe(":1.7", (1000, Some(1000)), left)
            .await
            .unwrap();
        assert!(!listens(":1.7"));
        let here = async { false };
        subscribers
            .subscribe(":1.8", (1000, Some(1000)), here)
            .await
            .unwrap();
        assert!(listens(":1.8"));
    }
}
