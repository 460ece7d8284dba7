//! Who calls, as the bus vouches for it: the uid of a connection, which never changes, and the name of
//! which is never used again. So what was once asked may be remembered; rights never are.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use forage_api::{ErrorKind, Failure};
use zbus::Connection;

use crate::core::Callers;

/// How long the bus may take to answer: it may have much to deliver to the daemon before that.
const DEADLINE: Duration = Duration::from_secs(15);
/// How many are remembered.
const MOST: usize = 1024;

/// The uids of connections.
#[derive(Debug)]
pub(crate) struct BusCallers {
    connection: Connection,
    known: Mutex<HashMap<String, u32>>,
}

impl BusCallers {
    /// Asks the bus over this connection.
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Callers for BusCallers {
    async fn uid(&self, caller: &str) -> Result<u32, Failure> {
        if let Some(uid) = self.known().get(caller) {
            return Ok(*uid);
        }
        let asked = self.connection.call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "GetConnectionUnixUser",
            &caller,
        );
        let reply = tokio::time::timeout(DEADLINE, asked).await;
        let uid = match reply {
            Ok(Ok(reply)) => reply.body().deserialize::<u32>().ok(),
            _ => None,
        };
        let uid = uid.ok_or_else(|| {
            Failure::new(ErrorKind::Unavailable, "the bus does not say who calls")
                .hint("it may be overloaded, try again later")
        })?;
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(caller.to_owned(), uid);
        Ok(uid)
    }
}
