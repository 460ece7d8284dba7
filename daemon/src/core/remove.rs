//! Removing a sandbox: what runs, then what root owns, and the record last.

use std::time::Duration;

use forage_api::ident::{SandboxId, SandboxName};
use forage_api::record::{Phase, SandboxRecord};
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure, names};
use tokio::time::{Instant, timeout};

use super::handle::{Core, note};
use super::ports::{Job, JobEnd, Unit, UnitState};
use super::progress::Progress;
use super::run::REPORT_WAIT;
use super::sandbox::Operation;
use super::start::subject;

/// How long the removal of a large workspace may take.
const REMOVAL_WAIT: Duration = Duration::from_secs(620);
/// How long systemd may take to tell that a job has ended before it is asked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Core {
    /// Removes a sandbox, stopping it first if it runs.
    pub(crate) async fn remove(
        &self,
        owner: u32,
        name: SandboxName,
        delete_workspace: bool,
        progress: Progress,
    ) -> Result<(), Failure> {
        let core = self.clone();
        self.operate(subject("remove", owner, &name), async move {
            let begun = core
                .ask(move |state| state.begin(owner, &name, Operation::Remove))
                .await?;
            let name = begun.record.record_name();
            if let Some(run) = begun.run {
                progress.step("stopping");
                if let Err(failure) = core.stop_run(&name, run).await {
                    core.release(&begun.record);
                    return Err(failure);
                }
            }
            progress.step("removing");
            let intent = core.amend(name.id, move |record| {
                record.phase = Phase::Removing;
                record.delete_workspace = delete_workspace;
            });
            if let Err(failure) = intent.await {
                core.release(&begun.record);
                return Err(failure);
            }
            core.finish_removal(begun.record).await
        })
        .await
    }

    /// Sees a removal through whose intent is on disk.
    pub(super) async fn finish_removal(&self, record: SandboxRecord) -> Result<(), Failure> {
        let Err(failure) = self.discard(&record).await else {
            return Ok(());
        };
        let kept = self.amend(record.id, |record| {
            record.phase = Phase::Created;
            record.delete_workspace = false;
        });
        if let Err(storage) = kept.await {
            note(&record.record_name(), "removal-pending", &storage.message);
        }
        self.release(&record);
        Err(failure)
    }

    /// Has everything removed that root owns of a sandbox that does not run, then deletes its record.
    pub(super) async fn discard(&self, record: &SandboxRecord) -> Result<(), Failure> {
        let id = record.id;
        let since = self.ports().clock.boot_time_ns();
        let mut job = self.ports().units.start(Unit::Remove(id)).await?;
        let done = self.removed(id, &mut job).await;
        // A removal that was refused says so before its job ends; one that succeeded says nothing.
        let wait = if done { Duration::ZERO } else { REPORT_WAIT };
        let report = self.ports().shims.report(id, since, wait).await;
        match report.map(|report| report.outcome) {
            Some(Outcome::NotRemoved(failure)) => Err(failure),
            _ if done => self.erase(&record.record_name()).await,
            _ => {
                let message = format!("the removal of sandbox {} failed", record.name);
                Err(Failure::new(ErrorKind::SandboxFailed, message)
                    .hint(format!("journalctl -u {}", names::remove_unit(id))))
            }
        }
    }

    /// Waits until systemd has done with the removal; tells whether it may have worked. Should it
    /// never say how the job ended, its unit can still be looked at: a removal that is refused leaves
    /// a report.
    async fn removed(&self, id: SandboxId, job: &mut Job) -> bool {
        let deadline = Instant::now() + REMOVAL_WAIT;
        let mut gone = false;
        while Instant::now() < deadline {
            if let Ok(end) = timeout(LOOK_AGAIN, job.end()).await {
                return end == JobEnd::Done;
            }
            // Only at the second look: the word of the job may be on its way at the first.
            if gone {
                return true;
            }
            gone = self.ports().units.state(Unit::Remove(id)).await == Ok(UnitState::Gone);
        }
        false
    }
}
