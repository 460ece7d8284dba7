//! Going on with what an earlier process left half done: starts, creations and removals.

use std::time::Duration;

use forage_api::Failure;
use forage_api::record::{Phase, SandboxRecord};
use tokio::time::Instant;

use super::handle::Core;
use super::launch::{Launch, Stumble};
use super::ports::{Unit, UnitState};
use super::progress::Progress;
use super::sandbox::Operation;

impl Core {
    /// Sees a start through that another process asked for.
    pub(super) fn resume_start(&self, record: SandboxRecord, since: u64) {
        self.in_background(record, Operation::Adopt, move |core, record| {
            core.finish_start(record, since)
        });
    }

    /// Goes on with a sandbox in a task of its own.
    pub(super) fn in_background<F>(
        &self,
        record: SandboxRecord,
        operation: Operation,
        work: impl FnOnce(Self, SandboxRecord) -> F,
    ) where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let subject = super::start::subject(operation.as_str(), record.owner, &record.name);
        let work = work(self.clone(), record.clone());
        let core = self.clone();
        tokio::spawn(async move {
            if core.operate(subject, work).await.is_err() {
                core.release(&record);
            }
        });
    }

    async fn finish_start(self, record: SandboxRecord, since: u64) -> Result<(), Failure> {
        let config = self.config().await?;
        let launch = Launch {
            core: &self,
            record: &record,
            progress: &Progress::unseen(),
            since,
            job: None,
            deadline: Instant::now() + Duration::from_secs(config.start_timeout.into()),
        };
        let outcome = launch.finish().await;
        if record.phase == Phase::Creating {
            if let Err(Stumble::Refused(failure)) = &outcome {
                self.take_away(&record, failure).await;
                self.release(&record);
                return Ok(());
            }
            self.promote(&record).await?;
        }
        if let Err(Stumble::Failed(failure)) = outcome {
            self.failed(&record, failure);
        }
        self.release(&record);
        Ok(())
    }

    pub(super) async fn roll_back(self, record: SandboxRecord) -> Result<(), Failure> {
        match self.discard(&record).await {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.failed(&record, cut_short(&record, &failure));
                self.promote(&record).await?;
                Err(failure)
            }
        }
    }

    pub(super) async fn resume_removal(self, record: SandboxRecord) -> Result<(), Failure> {
        let units = &self.ports().units;
        if units.state(Unit::Sandbox(record.id)).await? != UnitState::Gone {
            units.stop(record.id).await?;
            units.gone(record.id, Duration::from_secs(60)).await;
        }
        let outcome = self.finish_removal(record.clone()).await;
        if let Err(failure) = &outcome {
            self.failed(&record, failure.clone());
        }
        outcome
    }
}

fn cut_short(record: &SandboxRecord, why: &Failure) -> Failure {
    let message = format!(
        "the creation of sandbox {} was cut short, and taking it back failed: {}",
        record.name, why.message
    );
    Failure::new(forage_api::ErrorKind::SandboxFailed, message)
        .hint("start it again, or remove it with forage-ctl down")
}
