//! Creating a sandbox, and starting one there is.

use forage_api::Failure;
use forage_api::ident::SandboxName;
use forage_api::record::{Phase, SandboxRecord};

use super::handle::{Core, Subject, note};
use super::launch::{Launch, Stumble};
use super::progress::Progress;
use super::resolve::Resolution;
use super::sandbox::{Operation, SandboxStatus};
use super::state::SandboxSpec;

/// A sandbox that was started.
pub(crate) struct Started {
    /// The sandbox as it is now.
    pub(crate) sandbox: SandboxStatus,
    /// For the user.
    pub(crate) warnings: Vec<String>,
    /// For the user who asks for more.
    pub(crate) debug: Vec<String>,
}

impl Core {
    /// Creates a sandbox and starts it.
    pub(crate) async fn create(
        &self,
        spec: SandboxSpec,
        progress: Progress,
    ) -> Result<Started, Failure> {
        let core = self.clone();
        let subject = subject("create", spec.owner, &spec.name);
        self.operate(subject, async move {
            let now = core.ports().clock.now();
            let record = core
                .ask(move |state| state.begin_create(spec, now, random))
                .await?;
            let outcome = core.created(&record, &progress).await;
            core.release(&record);
            let resolution = outcome?;
            core.started(record, resolution).await
        })
        .await
    }

    /// Starts a stopped or failed sandbox.
    pub(crate) async fn start(
        &self,
        owner: u32,
        name: SandboxName,
        progress: Progress,
    ) -> Result<Started, Failure> {
        let core = self.clone();
        self.operate(subject("start", owner, &name), async move {
            let begun = core
                .ask(move |state| state.begin(owner, &name, Operation::Start))
                .await?;
            let outcome = core.launch(&begun.record, &progress).await;
            if let Err(Stumble::Failed(failure)) = &outcome {
                core.failed(&begun.record, failure.clone());
            }
            core.release(&begun.record);
            let resolution = outcome.map_err(Stumble::into_failure)?;
            core.started(begun.record, resolution).await
        })
        .await
    }

    /// Makes a sandbox of a reservation. A refusal leaves nothing behind; what fails later stays.
    async fn created(
        &self,
        record: &SandboxRecord,
        progress: &Progress,
    ) -> Result<Option<Resolution>, Failure> {
        let id = record.id;
        let queue = self.ask(|state| Ok(state.settings.queue())).await?;
        let turn = queue.turn(record.owner, progress).await;
        progress.step("recording");
        if let Err(failure) = self.amend(id, |_| ()).await {
            match self.is_revoked(id).await {
                // That has written it already.
                true => self.unmake(record, &failure).await,
                false => self.tell(move |state| state.forget(id)),
            }
            return Err(failure);
        }
        let launched = match Launch::begin(self, record, progress).await {
            Ok(launch) => launch.finish().await,
            Err(Stumble::Refused(failure)) => {
                self.unmake(record, &failure).await;
                return Err(failure);
            }
            Err(stumble) => Err(stumble),
        };
        drop(turn);
        match launched {
            Ok(resolution) => {
                if let Err(failure) = self.promote(record).await {
                    return Err(self.take_back(record, failure).await);
                }
                Ok(resolution)
            }
            Err(Stumble::Refused(failure)) => {
                self.take_away(record, &failure).await;
                Err(failure)
            }
            Err(Stumble::Failed(failure)) => {
                self.failed(record, failure.clone());
                if let Err(storage) = self.promote(record).await {
                    note(&record.record_name(), "unrecorded", &storage.message);
                }
                Err(failure)
            }
        }
    }

    async fn launch(
        &self,
        record: &SandboxRecord,
        progress: &Progress,
    ) -> Result<Option<Resolution>, Stumble> {
        let queue = self
            .ask(|state| Ok(state.settings.queue()))
            .await
            .map_err(Stumble::Refused)?;
        let _turn = queue.turn(record.owner, progress).await;
        if record.phase != Phase::Created {
            // Its creation or removal failed and could not be taken back. Who starts it wants to keep it.
            self.promote(record).await.map_err(Stumble::Refused)?;
        }
        Launch::begin(self, record, progress).await?.finish().await
    }

    /// Removes what a shim that refused its sandbox left, which is its report, and the record.
    pub(super) async fn take_away(&self, record: &SandboxRecord, why: &Failure) {
        if let Err(error) = self.discard(record).await {
            // The record goes all the same; what root may have left is told nowhere else.
            note(&record.record_name(), "discard-failed", &error.message);
            self.unmake(record, why).await;
        }
    }

    /// Deletes the record of a sandbox of which nothing was made. Where that does not work the
    /// sandbox stays visible as failed, so that its owner can remove it.
    pub(super) async fn unmake(&self, record: &SandboxRecord, why: &Failure) {
        if let Err(storage) = self.erase(&record.record_name()).await {
            note(&record.record_name(), "record-kept", &storage.message);
            self.failed(record, why.clone());
        }
    }

    /// Takes back a sandbox that runs but cannot be recorded as created.
    async fn take_back(&self, record: &SandboxRecord, failure: Failure) -> Failure {
        let id = record.id;
        let run = self
            .ask(move |state| Ok(state.by_id(id).and_then(|sandbox| sandbox.run.clone())))
            .await
            .unwrap_or_default();
        if let Some(run) = run
            && let Err(error) = self.stop_run(&record.record_name(), run).await
        {
            note(&record.record_name(), "stop-failed", &error.message);
        }
        if let Err(error) = self.discard(record).await {
            note(&record.record_name(), "record-kept", &error.message);
            self.failed(record, failure.clone());
        }
        failure
    }

    /// Notes why a sandbox failed.
    pub(super) fn failed(&self, record: &SandboxRecord, failure: Failure) {
        let id = record.id;
        let now = self.ports().clock.now();
        self.tell(move |state| state.update(id, |sandbox| sandbox.fail(now, failure)));
    }

    /// Ends an operation.
    pub(super) fn release(&self, record: &SandboxRecord) {
        let id = record.id;
        self.tell(move |state| state.update(id, |sandbox| sandbox.busy = None));
    }

    async fn started(
        &self,
        record: SandboxRecord,
        resolution: Option<Resolution>,
    ) -> Result<Started, Failure> {
        let sandbox = self.get(record.owner, record.name).await?;
        let mut resolution = resolution.unwrap_or_else(Resolution::nothing);
        if let Some(since) = sandbox.revoked_at {
            let name = &sandbox.name;
            resolution.warnings = vec![format!(
                "its credentials were revoked on {}, so its agents get none; give them back with: \
                 forage-ctl auth refresh {name}",
                since.strftime("%Y-%m-%d at %H:%M UTC")
            )];
        }
        Ok(Started {
            sandbox,
            warnings: resolution.warnings,
            debug: resolution.debug,
        })
    }
}

impl Stumble {
    /// The failure as the caller gets it.
    pub(super) fn into_failure(self) -> Failure {
        let (Self::Refused(failure) | Self::Failed(failure)) = self;
        failure
    }
}

/// What an operation on one sandbox is about.
pub(super) fn subject(operation: &'static str, owner: u32, name: &SandboxName) -> Subject {
    Subject {
        operation,
        owner,
        name: Some(name.clone()),
    }
}

fn random() -> u32 {
    // Without randomness every id is the same one, which is taken after its first use: creation
    // then fails cleanly instead of going on with a guess.
    getrandom::u32().unwrap_or_default()
}
