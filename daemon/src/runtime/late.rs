//! Starts that systemd may act on after they were given up. It asks polkit first, and when that hangs
//! the job is queued once polkit answers, at a time when the caller was told that nothing was started.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use zbus::OwnedObjectPath;

use super::systemd_proxy::ManagerProxy;

/// The starts systemd has not answered.
#[derive(Debug, Clone)]
pub(super) struct LateStarts {
    manager: ManagerProxy<'static>,
    newest: Arc<Mutex<Newest>>,
}

/// The number of the newest start of each unit that has an open one.
#[derive(Debug, Default)]
struct Newest {
    last: u64,
    of: HashMap<String, u64>,
}

impl LateStarts {
    /// Asks systemd over this proxy.
    pub(super) fn new(manager: ManagerProxy<'static>) -> Self {
        Self {
            manager,
            newest: Arc::default(),
        }
    }

    /// Has a unit started. Should nobody wait any more when systemd answers, it is stopped again,
    /// unless it has been asked for anew since.
    pub(super) async fn start(&self, unit: String) -> zbus::Result<OwnedObjectPath> {
        let (sender, answer) = oneshot::channel();
        let number = self.opened(&unit);
        let this = self.clone();
        tokio::spawn(async move {
            let started = this.manager.start_unit(&unit, "replace").await;
            let unheard = sender.send(started).err();
            let newest = this.closed(&unit, number);
            if let (Some(Ok(_)), true) = (unheard, newest) {
                this.take_back(&unit).await;
            }
        });
        let lost = || zbus::Error::Failure("the question was dropped".into());
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn take_back(&self, unit: &str) {
        tracing::warn!(
            FORAGE_EVENT = "late-start",
            "systemd started {unit} when nobody waited for that any more, stopping it"
        );
        if let Err(error) = self.manager.stop_unit(unit, "replace").await {
            tracing::warn!(FORAGE_EVENT = "late-start", "cannot stop {unit}: {error}");
        }
    }

    fn opened(&self, unit: &str) -> u64 {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.last += 1;
        let number = newest.last;
        newest.of.insert(unit.to_owned(), number);
        number
    }

    /// Tells whether it was the newest of its unit.
    fn closed(&self, unit: &str, number: u64) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = newest.of.get(unit) == Some(&number);
        if last {
            newest.of.remove(unit);
        }
        last
    }
}
