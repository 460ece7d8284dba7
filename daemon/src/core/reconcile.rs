//! Bringing intent and reality together: at the start of the daemon, and when a shim appears that the
//! daemon did not ask for. What is decided is a pure function; units without a record are left alone.

use std::collections::HashMap;
use std::time::Duration;

use forage_api::Failure;
use forage_api::ident::SandboxId;
use forage_api::record::{Phase, SandboxRecord};
use forage_api::shim::control::RunState;
use forage_api::shim::report::Outcome;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handle::{Core, note};
use super::launch::{Launch, Stumble};
use super::ports::{Unit, UnitState};
use super::progress::Progress;
use super::run::sandbox_failed;
use super::sandbox::Operation;

/// How long a running shim may take to answer at the start of the daemon.
const HELLO_WAIT: Duration = Duration::from_secs(2);

/// What is to be done about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// It does not run; its last report may say that it failed.
    Rest,
    /// It runs: take it over.
    Adopt,
    /// It is being started: see that through.
    FinishStart,
    /// It is ending: follow it.
    Follow,
    /// Its creation was cut short: take it back.
    RollBack,
    /// Its removal was cut short: go on.
    Remove,
}

const fn plan(phase: Phase, unit: UnitState) -> Plan {
    match (phase, unit) {
        (Phase::Removing, _) => Plan::Remove,
        (_, UnitState::Activating) => Plan::FinishStart,
        (_, UnitState::Active) => Plan::Adopt,
        // How its creation ends decides whether there is a sandbox.
        (Phase::Creating, UnitState::Deactivating) => Plan::FinishStart,
        (Phase::Creating, UnitState::Gone) => Plan::RollBack,
        (Phase::Created, UnitState::Deactivating) => Plan::Follow,
        (Phase::Created, UnitState::Gone) => Plan::Rest,
    }
}

impl Core {
    /// Takes over what there is. When this returns every state is true; what takes long goes on in
    /// tasks of its own.
    pub(crate) async fn reconcile(&self) -> Result<(), Failure> {
        let units = self.ports().units.list().await?;
        let records = self
            .ask(|state| {
                let all = state
                    .all()
                    .filter_map(|sandbox| sandbox.record.clone().ok());
                Ok(all.collect::<Vec<_>>())
            })
            .await?;
        self.strangers(&units).await?;
        let mut tasks = JoinSet::new();
        for record in records {
            let unit = units.get(&record.id).copied().unwrap_or(UnitState::Gone);
            let core = self.clone();
            tasks.spawn(async move { core.settle(record, unit).await });
        }
        tasks.join_all().await;
        // What the tasks told the state has been taken note of once this answers.
        self.ask(|_| Ok(())).await
    }

    /// Takes over a sandbox whose shim appeared unasked: an administrator started its unit, or
    /// systemd acted on a request that had been given up.
    pub(crate) async fn appeared(&self, id: SandboxId) {
        let unasked = self
            .ask(move |state| {
                let sandbox = state.by_id(id);
                let free = sandbox.filter(|one| one.busy.is_none() && one.run.is_none());
                Ok(free.and_then(|one| one.record.clone().ok()))
            })
            .await;
        if let Ok(Some(record)) = unasked
            && let Ok(unit @ (UnitState::Active | UnitState::Activating)) =
                self.ports().units.state(Unit::Sandbox(id)).await
        {
            self.settle(record, unit).await;
        }
    }

    async fn settle(&self, record: SandboxRecord, unit: UnitState) {
        match plan(record.phase, unit) {
            Plan::Rest => self.rest(&record).await,
            Plan::Adopt => self.adopt(record).await,
            Plan::FinishStart => self.in_background(record, Operation::Adopt, Self::finish_start),
            Plan::Follow => self.follow_unreached(&record, RunState::Stopping).await,
            Plan::RollBack => self.in_background(record, Operation::Remove, Self::roll_back),
            Plan::Remove => self.in_background(record, Operation::Remove, Self::resume_removal),
        }
    }

    async fn rest(&self, record: &SandboxRecord) {
        let report = self
            .ports()
            .shims
            .report(record.id, 0, Duration::ZERO)
            .await;
        if let Some(Outcome::Failed(failure)) = report.map(|report| report.outcome) {
            self.failed(record, sandbox_failed(failure));
        }
    }

    /// Takes over a sandbox whose unit is started.
    async fn adopt(&self, record: SandboxRecord) {
        let name = record.record_name();
        let since = self.ports().clock.boot_time_ns();
        let Ok(link) = self.ports().shims.connect(record.id, HELLO_WAIT).await else {
            note(&name, "adopted", "runs, but its shim does not answer");
            self.follow_unreached(&record, RunState::Running).await;
            return;
        };
        let begun = matches!(link.hello.state, RunState::Running | RunState::Stopping);
        if begun && record.phase == Phase::Created {
            if let Ok(guard) = self.begin_run(&name, Ok(&link)).await {
                note(&name, "adopted", "runs, taken over");
                self.follow(name.clone(), since, Some(link), guard);
                self.missed(name);
            }
            return;
        }
        drop(link);
        note(&name, "adopted", "is starting, taken over");
        self.in_background(record, Operation::Adopt, Self::finish_start);
    }

    /// Follows a sandbox whose shim cannot be reached, until it can be or its unit is gone.
    async fn follow_unreached(&self, record: &SandboxRecord, state: RunState) {
        let name = record.record_name();
        let since = self.ports().clock.boot_time_ns();
        if let Ok(guard) = self.begin_run(&name, Err(state)).await {
            self.follow(name, since, None, guard);
        }
    }

    /// Marks a sandbox busy and goes on in a task of its own.
    fn in_background<F>(
        &self,
        record: SandboxRecord,
        operation: Operation,
        work: impl FnOnce(Self, SandboxRecord) -> F,
    ) where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let id = record.id;
        self.tell(move |state| state.update(id, |sandbox| sandbox.busy = Some(operation)));
        let subject = super::start::subject(operation.as_str(), record.owner, &record.name);
        let work = work(self.clone(), record.clone());
        let core = self.clone();
        tokio::spawn(async move {
            if core.operate(subject, work).await.is_err() {
                core.release(&record);
            }
        });
    }

    async fn finish_start(self, record: SandboxRecord) -> Result<(), Failure> {
        let config = self.config().await?;
        let launch = Launch {
            core: &self,
            record: &record,
            progress: &Progress::unseen(),
            since: self.ports().clock.boot_time_ns(),
            job: None,
            deadline: Instant::now() + Duration::from_secs(config.start_timeout.into()),
        };
        let outcome = launch.finish().await;
        if record.phase == Phase::Creating {
            if let Err(Stumble::Refused(failure)) = &outcome {
                self.take_away(&record, failure).await;
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

    async fn roll_back(self, record: SandboxRecord) -> Result<(), Failure> {
        let id = record.id;
        match self.discard(&record).await {
            Ok(()) => {
                self.tell(move |state| state.forget(id));
                Ok(())
            }
            Err(failure) => {
                self.failed(&record, cut_short(&record, &failure));
                self.promote(&record).await?;
                Err(failure)
            }
        }
    }

    async fn resume_removal(self, record: SandboxRecord) -> Result<(), Failure> {
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

    /// Says which units there are that no record speaks of. They are never touched.
    async fn strangers(&self, units: &HashMap<SandboxId, UnitState>) -> Result<(), Failure> {
        let ids: Vec<SandboxId> = units.keys().copied().collect();
        let unknown = self
            .ask(move |state| {
                let unknown = ids.into_iter().filter(|id| state.by_id(*id).is_none());
                Ok(unknown.collect::<Vec<_>>())
            })
            .await?;
        for id in unknown {
            tracing::warn!(
                FORAGE_EVENT = "stranger",
                FORAGE_ID = %id,
                "unit {} has no record, leaving it alone",
                forage_api::names::sandbox_unit(id),
            );
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        use Phase::{Created, Creating, Removing};
        use UnitState::{Activating, Active, Deactivating, Gone};
        for (phase, unit, expected) in [
            (Creating, Gone, Plan::RollBack),
            (Creating, Activating, Plan::FinishStart),
            (Creating, Active, Plan::Adopt),
            (Creating, Deactivating, Plan::FinishStart),
            (Created, Gone, Plan::Rest),
            (Created, Activating, Plan::FinishStart),
            (Created, Active, Plan::Adopt),
            (Created, Deactivating, Plan::Follow),
            (Removing, Gone, Plan::Remove),
            (Removing, Activating, Plan::Remove),
            (Removing, Active, Plan::Remove),
            (Removing, Deactivating, Plan::Remove),
        ] {
            assert_eq!(plan(phase, unit), expected, "{phase:?} {unit:?}");
        }
    }
}
