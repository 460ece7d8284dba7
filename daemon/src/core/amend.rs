//! Writing a sandbox's record: one change after the other, each on top of the one before, so that none
//! is lost and none brings back a record that was deleted.

use forage_api::ident::SandboxId;
use forage_api::record::{Phase, RecordName, SandboxRecord, VERSION};
use forage_api::{ErrorKind, Failure};
use jiff::Timestamp;

use super::handle::Core;
use super::sandbox::Operation;
use super::state::State;

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
        let revoked = self.ask(move |state| Ok(known(state, id)?.revoked_at.is_some()));
        revoked.await.unwrap_or(false)
    }

    /// Records that a sandbox's credentials are revoked. It holds for as long as the daemon lives even
    /// where it cannot be written. Of a sandbox that is being removed there is nothing to write.
    pub(super) async fn mark_revoked(
        &self,
        id: SandboxId,
        at: Timestamp,
    ) -> Result<Marked, Failure> {
        let _order = self.record_order().await;
        let (record, newly, removed) = self
            .ask(move |state| {
                let mut record = known(state, id)?.clone();
                let newly = record.revoked_at.is_none();
                record.version = VERSION;
                record.revoked_at.get_or_insert(at);
                let busy = state.by_id(id).and_then(|sandbox| sandbox.busy);
                Ok((record, newly, busy == Some(Operation::Remove)))
            })
            .await?;
        let unwritten = match removed {
            true => None,
            false => self.ports().records.write(&record).await.err(),
        };
        self.ask(move |state| {
            state.update(id, |sandbox| sandbox.record = Ok(record));
            Ok(())
        })
        .await?;
        Ok(Marked { newly, unwritten })
    }
}

fn known(state: &State, id: SandboxId) -> Result<&SandboxRecord, Failure> {
    let gone = || Failure::new(ErrorKind::NoSuchSandbox, "the sandbox is gone");
    state.by_id(id).ok_or_else(gone)?.readable()
}
