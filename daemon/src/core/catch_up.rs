//! Bringing a sandbox what it ought to have when it missed a change of that, a revocation too: tried
//! again, ever more slowly, until it arrives or the run is over.

use std::time::Duration;

use forage_api::record::RecordName;
use forage_api::{ErrorKind, Failure};

use super::hand_over::How;
use super::handle::{Core, note};
use super::link::Reply;
use super::stop::REPLY_WAIT;

/// How long the first delivery of a start may take: the shim may have other things to do first.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Core {
    /// Takes note that a running sandbox may not have what it ought to have, and sees to it.
    pub(super) fn missed(&self, name: RecordName) {
        let core = self.clone();
        let id = name.id;
        self.tell(move |state| {
            let takes = state.by_id(id).is_some_and(|one| state.takes_any(one));
            let mut first = false;
            state.update_run(id, |run| {
                if takes {
                    first = run.missed == 0;
                    run.missed = run.missed.saturating_add(1);
                }
            });
            if first {
                tokio::spawn(async move { core.catch_up(name).await });
            }
        });
    }

    /// Waits for the reply to the first delivery of a run; where it fails, sees to it that it is made up for.
    pub(super) fn expect_delivery(&self, name: &RecordName, reply: Result<Reply, Failure>) {
        let (core, name) = (self.clone(), name.clone());
        tokio::spawn(async move {
            let delivered = match reply {
                Ok(reply) => reply.within(FIRST_WAIT).await,
                Err(failure) => Err(failure),
            };
            if delivered.is_err() {
                core.missed(name);
            }
        });
    }

    async fn catch_up(&self, name: RecordName) {
        let id = name.id;
        let mut pause = Duration::from_secs(1);
        loop {
            let run = self.ask(move |state| Ok(state.by_id(id).and_then(|one| one.run.clone())));
            let Ok(Some(run)) = run.await else {
                return;
            };
            if run.shim.is_some() && self.deliver(&name).await {
                let done = self.ask(move |state| {
                    let mut done = true;
                    state.update_run(id, |now| {
                        done = now.missed <= run.missed;
                        now.missed = if done { 0 } else { 1 };
                    });
                    Ok(done)
                });
                if done.await.unwrap_or(true) {
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn deliver(&self, name: &RecordName) -> bool {
        let handed = self.hand_over(name.owner, &[name.id], How::default()).await;
        let posted = handed.map(|handed| handed.posted.into_iter().next());
        let delivered = match posted.map(|posted| posted.map(|posted| posted.credentials)) {
            Ok(Some(Ok(reply))) => reply.within(REPLY_WAIT).await,
            Ok(Some(Err(failure))) | Err(failure) => Err(failure),
            Ok(None) => return false,
        };
        if let Err(failure) = &delivered {
            if failure.kind == ErrorKind::RecordUnreadable {
                // It gets nothing more until its record is repaired, and the daemon restarted.
                return true;
            }
            note(name, "token-stale", &failure.message);
        }
        delivered.is_ok()
    }
}
