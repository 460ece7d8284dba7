//! The credentials of a run: what the daemon wants of them, and what becomes of secrets' files.

use std::collections::BTreeSet;
use std::time::Duration;

use forage_api::Failure;
use forage_api::ident::SecretName;
use forage_api::shim::control::Event;

use super::{Phase, Run};
use crate::secrets::Wanted;
use crate::sys::time::Deadline;

/// How long until a file that may still be being written is read if nothing else happens to it.
const UNSETTLED: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Brings the credentials to what is wanted; the first time the sandbox is built with them. The
    /// second result is an error if that failed, which ends the run.
    pub(super) fn credentials(
        &mut self,
        wanted: &Wanted,
    ) -> (Result<(), Failure>, Result<(), Failure>) {
        if matches!(self.phase, Phase::Awaiting(_)) {
            let built = self.build(wanted);
            return (built.clone(), built);
        }
        let change = self.delivery.bring(wanted);
        if change.told {
            self.tell_credentials();
            self.log.note(match wanted.revoked {
                true => "the credentials were taken away",
                false => "the credentials changed",
            });
        }
        self.set_retry();
        (change.failure.map_or(Ok(()), Err), Ok(()))
    }

    /// Hears which secrets' files changed.
    pub(super) fn hear_secrets(&mut self) {
        if let Some(watch) = &mut self.watch {
            let changes = watch.changes();
            self.unsettled.extend(changes.later);
            self.refresh(&changes.now);
        }
    }

    /// Does what could not be done before, once it is time.
    pub(super) fn retry_credentials(&mut self) {
        let again = self.retry.take_if(|retry| retry.is_over());
        let settled = self.settles.take_if(|settles| settles.is_over());
        let files = settled.map(|_| std::mem::take(&mut self.unsettled));
        if again.is_some() || files.is_some() {
            self.refresh(&files.unwrap_or_default());
        }
    }

    /// Delivers changed secrets, and what could not be delivered before.
    fn refresh(&mut self, changed: &BTreeSet<SecretName>) {
        if self.delivery.refresh(changed).told {
            self.tell_credentials();
            self.log.note("a secret's file changed");
        }
        self.set_retry();
    }

    /// What happens meanwhile does not put another try off.
    fn set_retry(&mut self) {
        if self.retry.is_none() {
            self.retry = self.delivery.retry().map(Deadline::after);
        }
        if self.settles.is_none() && !self.unsettled.is_empty() {
            self.settles = Some(Deadline::after(UNSETTLED));
        }
    }

    fn tell_credentials(&mut self) {
        let delivered = self.delivery.delivered();
        self.tell_event(Event::Credentials(delivered));
    }
}
