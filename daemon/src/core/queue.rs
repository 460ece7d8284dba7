//! Where starts wait: so many at a time per user, so many in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use forage_api::config::Config;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::progress::Progress;

/// The queue of starts.
pub(crate) struct Queue {
    all: Arc<Semaphore>,
    per_user: usize,
    users: Mutex<HashMap<u32, Weak<Semaphore>>>,
}

/// The right to start a sandbox now, until it is dropped.
pub(crate) struct Turn {
    _in_all: OwnedSemaphorePermit,
    _of_user: OwnedSemaphorePermit,
}

impl Queue {
    /// Makes the queue a configuration asks for.
    pub(crate) fn new(config: &Config) -> Self {
        let number = |limit: u32| usize::try_from(limit).unwrap_or(1);
        Self {
            all: Arc::new(Semaphore::new(number(config.max_starts))),
            per_user: number(config.max_starts_per_user),
            users: Mutex::default(),
        }
    }

    /// Waits for the turn of one of a user's starts. The user's own limit comes first, so that
    /// waiting starts of one user take no place from others.
    pub(crate) async fn turn(&self, uid: u32, progress: &Progress) -> Option<Turn> {
        let mut told = false;
        let of_user = take(self.of_user(uid), progress, &mut told).await?;
        let in_all = take(Arc::clone(&self.all), progress, &mut told).await?;
        Some(Turn {
            _in_all: in_all,
            _of_user: of_user,
        })
    }

    fn of_user(&self, uid: u32) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, semaphore| semaphore.strong_count() > 0);
        if let Some(semaphore) = users.get(&uid).and_then(Weak::upgrade) {
            return semaphore;
        }
        let semaphore = Arc::new(Semaphore::new(self.per_user));
        users.insert(uid, Arc::downgrade(&semaphore));
        semaphore
    }
}

async fn take(
    semaphore: Arc<Semaphore>,
    progress: &Progress,
    told: &mut bool,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(&semaphore).try_acquire_owned() {
        return Some(permit);
    }
    if !std::mem::replace(told, true) {
        progress.step("queued");
    }
    semaphore.acquire_owned().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_user_waits_while_another_goes_on() {
        let config = Config {
            max_starts_per_user: 1,
            max_starts: 2,
            ..Config::default()
        };
        let queue = Queue::new(&config);
        let (progress, mut steps) = Progress::channel();
        let first = queue.turn(1, &progress).await.unwrap();
        let second = queue.turn(1, &progress);
        let unseen = Progress::unseen();
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("two at a time"),
            other = queue.turn(2, &unseen) => drop(other.unwrap()),
        }
        assert_eq!(steps.recv().await.unwrap(), "queued");
        drop(first);
        assert!(second.await.is_some());
    }
}
