//! Writing a sandbox's record: one change after the other, each on top of the one before, so that none
//! is lost and none brings back a record that was deleted.

use std::time::Duration;

use forage_api::ident::SandboxId;
use forage_api::record::{Phase, RecordName, SandboxRecord, VERSION};
use forage_api::{ErrorKind, Failure};
use jiff::Timestamp;
use tokio::time::timeout;

use super::handle::Core;
use super::sandbox::{Operation, Sandbox};
use super::state::State;

/// How long a revocation waits for its record: credentials are taken away even if the disk hangs.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// What came of recording a revocation.
pub(super) struct Marked {
    /// Whether it was not revoked before.
    pub(super) newly: bool,
    /// Why it could not be written; the daemon knows of it all the same.
    pub(super) unwritten: Option<Failure>,
}

impl Core {
    /// Changes a record durably. Where it cannot be written, what is known stays as it was.
    pub(super) async fn amend(
        &self,
        id: SandboxId,
        change: impl FnOnce(&mut SandboxRecord) + Send + 'static,
    ) -> Result<(), Failure> {
        let _order = self.record_order().await;
        let record = self
            .ask(move |state| {
                let mut record = known(state, id)?.clone();
                record.version = VERSION;
                change(&mut record);
                Ok(record)
            })
            .await?;
        self.ports().records.write(&record).await?;
        self.ask(move |state| {
            state.update(id, |sandbox| sandbox.record = Ok(record));
            Ok(())
        })
        .await
    }

    /// Records durably that a sandbox exists: its caller may be told.
    pub(super) async fn promote(&self, record: &SandboxRecord) -> Result<(), Failure> {
        self.amend(record.id, |record| record.phase = Phase::Created)
            .await
    }

    /// Deletes a record durably; its id, name and slot are free then.
    pub(super) async fn erase(&self, name: &RecordName) -> Result<(), Failure> {
        let _order = self.record_order().await;
        self.ports().records.delete(name).await?;
        let id = name.id;
        self.ask(move |state| {
            state.forget(id);
            Ok(())
        })
        .await
    }

    /// Tells whether a sandbox's credentials are revoked.
    pub(super) async fn is_revoked(&self, id: SandboxId) -> bool {
        let revoked = self.ask(move |state| Ok(state.by_id(id).is_some_and(Sandbox::is_revoked)));
        revoked.await.unwrap_or(false)
    }

    /// Records that a sandbox's credentials are revoked. It holds for as long as the daemon lives even
    /// where it cannot be written, or not in time: then it is still written in its turn.
    pub(super) async fn mark_revoked(
        &self,
        id: SandboxId,
        at: Timestamp,
    ) -> Result<Marked, Failure> {
        let (newly, unreadable) = self
            .ask(move |state| {
                let sandbox = gone(state.by_id(id))?;
                let known = (!sandbox.is_revoked(), sandbox.readable().err());
                state.update(id, |sandbox| sandbox.withdrawn = Some(at));
                Ok(known)
            })
            .await?;
        let core = self.clone();
        let unwritten = match unreadable {
            Some(failure) => Some(failure),
            None => {
                let writing = tokio::spawn(async move { core.write_revocation(id, at).await });
                let broken = |_| Err(Failure::new(ErrorKind::Internal, "the writing broke off"));
                match timeout(WRITE_WAIT, writing).await {
                    Ok(written) => written.unwrap_or_else(broken).err(),
                    Err(_) => Some(slow()),
                }
            }
        };
        Ok(Marked { newly, unwritten })
    }

    /// Of a sandbox that is being removed there is nothing to write.
    async fn write_revocation(&self, id: SandboxId, at: Timestamp) -> Result<(), Failure> {
        let _order = self.record_order().await;
        let (record, removed) = self
            .ask(move |state| {
                let mut record = known(state, id)?.clone();
                record.version = VERSION;
                record.revoked_at.get_or_insert(at);
                let busy = state.by_id(id).and_then(|sandbox| sandbox.busy);
                Ok((record, busy == Some(Operation::Remove)))
            })
            .await?;
        let written = match removed {
            true => Ok(()),
            false => self.ports().records.write(&record).await,
        };
        self.ask(move |state| {
            state.update(id, |sandbox| {
                sandbox.record = Ok(record);
                // A later revocation clears its own.
                sandbox.withdrawn.take_if(|since| *since == at);
            });
            Ok(())
        })
        .await?;
        written
    }
}

fn slow() -> Failure {
    let message = format!(
        "the disk did not write its record within {} s",
        WRITE_WAIT.as_secs()
    );
    Failure::new(ErrorKind::StorageFailed, message)
}

fn gone(sandbox: Option<&Sandbox>) -> Result<&Sandbox, Failure> {
    sandbox.ok_or_else(|| Failure::new(ErrorKind::NoSuchSandbox, "the sandbox is gone"))
}

fn known(state: &State, id: SandboxId) -> Result<&SandboxRecord, Failure> {
    gone(state.by_id(id))?.readable()
}
