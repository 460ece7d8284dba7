//! How many requests may be in flight: per user, so that one cannot shut out the others, and in all.
//! Until it is known whose a request is, what counts is the connection it came from.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use forage_api::config::Config;
use forage_api::{ErrorKind, Failure};

/// How many requests of one connection may wait for the bus to say whose they are.
const MOST_WAITING: u32 = 16;

/// Counts the requests in flight.
#[derive(Debug, Default)]
pub(super) struct Admission {
    per_user: Mutex<HashMap<u32, u32>>,
    waiting: Mutex<HashMap<String, u32>>,
}

/// A request that waits to be admitted, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    admission: Arc<Admission>,
    connection: String,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    uid: u32,
}

impl Admission {
    /// Lets a request of a connection wait, or refuses at once.
    pub(super) fn wait(self: &Arc<Self>, connection: &str) -> Result<Waiting, Failure> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.get(connection).copied().unwrap_or(0);
        if number >= MOST_WAITING {
            let message = "too many requests of this connection wait to be looked at";
            return Err(Failure::new(ErrorKind::LimitReached, message).hint("try again later"));
        }
        waiting.insert(connection.to_owned(), number + 1);
        Ok(Waiting {
            admission: Arc::clone(self),
            connection: connection.to_owned(),
        })
    }

    /// Admits a request of a user, or refuses at once.
    pub(super) fn admit(self: &Arc<Self>, uid: u32, config: &Config) -> Result<Admitted, Failure> {
        let mut per_user = self.per_user.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = per_user.values().sum();
        let own = per_user.get(&uid).copied().unwrap_or(0);
        let limit = if own >= config.max_requests_per_user {
            Some((config.max_requests_per_user, "of yours are"))
        } else if all >= config.max_requests {
            Some((config.max_requests, "are"))
        } else {
            None
        };
        if let Some((most, whose)) = limit {
            let message = format!("{most} requests {whose} in flight, and that is the most");
            return Err(Failure::new(ErrorKind::LimitReached, message).hint("try again later"));
        }
        per_user.insert(uid, own + 1);
        Ok(Admitted {
            admission: Arc::clone(self),
            uid,
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waiting = self.admission.waiting.lock();
        release(
            &mut waiting.unwrap_or_else(PoisonError::into_inner),
            &self.connection,
        );
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let per_user = self.admission.per_user.lock();
        release(
            &mut per_user.unwrap_or_else(PoisonError::into_inner),
            &self.uid,
        );
    }
}

fn release<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(number) = counts.get_mut(key) {
        *number -= 1;
        if *number == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_per_user_and_in_all() {
        let config = Config {
            max_requests_per_user: 2,
            max_requests: 3,
            ..Config::default()
        };
        let admission = Arc::new(Admission::default());
        let admit = |uid| admission.admit(uid, &config);
        let first = admit(1).unwrap();
        let _second = admit(1).unwrap();
        assert!(admit(1).unwrap_err().message.contains("of yours"));
        let _other = admit(2).unwrap();
        assert_eq!(admit(3).unwrap_err().kind, ErrorKind::LimitReached);
        drop(first);
        admit(3).unwrap();
        admit(1).unwrap();
    }

    #[test]
    fn a_connection_waits_with_few_requests_at_a_time() {
        let admission = Arc::new(Admission::default());
        let wait = |connection| admission.wait(connection);
        let waiting: Vec<Waiting> = (0..MOST_WAITING).map(|_| wait(":1.7").unwrap()).collect();
        assert_eq!(wait(":1.7").unwrap_err().kind, ErrorKind::LimitReached);
        let _other = wait(":1.8").unwrap();
        drop(waiting);
        wait(":1.7").unwrap();
        assert_eq!(admission.waiting.lock().unwrap().len(), 1);
    }
}
