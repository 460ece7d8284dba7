//! How many requests may be in flight: per user, so that one cannot shut out the others, and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use forage_api::config::Config;
use forage_api::{ErrorKind, Failure};

/// Counts the requests in flight.
#[derive(Debug, Default)]
pub(super) struct Admission {
    per_user: Mutex<HashMap<u32, u32>>,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    uid: u32,
}

impl Admission {
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

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut per_user = self
            .admission
            .per_user
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = per_user.get_mut(&self.uid) {
            *number -= 1;
            if *number == 0 {
                per_user.remove(&self.uid);
            }
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
}
