//! Turns: one at a time of each owner, so that nobody waits for what somebody else's disk writes or
//! look-ups take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The turns that are had or waited for.
#[derive(Default)]
pub(super) struct Turns(StdMutex<HashMap<u32, Weak<Mutex<()>>>>);

/// An owner's turn, until it is dropped.
pub(super) struct Order {
    owner: u32,
    _turn: OwnedMutexGuard<()>,
}

impl Order {
    /// Whose turn it is.
    pub(super) const fn owner(&self) -> u32 {
        self.owner
    }
}

impl Turns {
    /// Waits for an owner's turn. Who has one waits for no other.
    pub(super) async fn of(&self, owner: u32) -> Order {
        let turn = self.turn(owner).lock_owned().await;
        Order { owner, _turn: turn }
    }

    fn turn(&self, owner: u32) -> Arc<Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&owner).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Mutex::new(()));
        turns.insert(owner, Arc::downgrade(&turn));
        turn
    }
}
