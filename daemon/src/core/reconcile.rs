//! Bringing intent and reality together: at the start of the daemon, and when a shim appears that the
//! daemon did not ask for. What is decided is a pure function; units without a record are left alone.

use std::collections::HashMap;
use std::time::Duration;

use forage_api::Failure;
use forage_api::ident::SandboxId;
use forage_api::record::{Phase, RecordName, SandboxRecord};
use forage_api::shim::control::RunState;
use forage_api::shim::report::Outcome;
use tokio::task::JoinSet;

use super::handle::{Core, note};
use super::ports::{Unit, UnitState};
use super::run::sandbox_failed;
use super::sandbox::{Operation, Sandbox};
use super::state::State;

/// How long a running shim may take to answer at the start of the daemon.
const HELLO_WAIT: Duration = Duration::from_secs(2);

/// A sandbox nobody else works on, and what is to be done about it.
struct Task {
    record: SandboxRecord,
    plan: Plan,
    /// When its unit was not looked at yet: what is reported later is about what was seen.
    since: u64,
}

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

impl Plan {
    /// What the sandbox is busy with meanwhile.
    const fn operation(self) -> Option<Operation> {
        match self {
            Self::Rest => None,
            Self::Adopt | Self::FinishStart | Self::Follow => Some(Operation::Adopt),
            Self::RollBack | Self::Remove => Some(Operation::Remove),
        }
    }
}

/// Takes a sandbox on, unless it is worked on or known to run: what was seen of its unit may be older
/// than that. The sandbox is busy from here on.
fn take_on(state: &mut State, id: SandboxId, unit: UnitState, since: u64) -> Option<Task> {
    let sandbox = state.by_id(id).filter(|one| one.free())?;
    let record = sandbox.record.clone().ok()?;
    let plan = plan(record.phase, unit);
    if let Some(operation) = plan.operation() {
        state.update(id, |sandbox| sandbox.busy = Some(operation));
    }
    Some(Task {
        record,
        plan,
        since,
    })
}

/// Takes on a sandbox that runs though its record cannot be used.
fn take_on_blindly(state: &mut State, id: SandboxId, unit: UnitState) -> Option<RecordName> {
    let runs = matches!(unit, UnitState::Active | UnitState::Activating);
    let sandbox = state.by_id(id).filter(|one| runs && one.free())?;
    sandbox.record.as_ref().err()?;
    let name = sandbox.name.clone();
    state.update(id, |sandbox| sandbox.busy = Some(Operation::Adopt));
    Some(name)
}

impl Core {
    /// Takes over what there is. When this returns every state is true; what takes long goes on in
    /// tasks of its own.
    pub(crate) async fn reconcile(&self) -> Result<(), Failure> {
        let since = self.ports().clock.boot_time_ns();
        let units = self.ports().units.list().await?;
        self.strangers(&units).await?;
        let (taken_on, blindly) = self
            .ask(move |state| {
                let ids: Vec<SandboxId> = state.all().map(|one| one.name.id).collect();
                let unit = |id| units.get(id).copied().unwrap_or(UnitState::Gone);
                let all = ids.iter();
                let tasks = all.filter_map(|id| take_on(state, *id, unit(id), since));
                let tasks: Vec<Task> = tasks.collect();
                let all = ids.iter();
                let blindly = all.filter_map(|id| take_on_blindly(state, *id, unit(id)));
                Ok((tasks, blindly.collect::<Vec<_>>()))
            })
            .await?;
        let mut tasks = JoinSet::new();
        for task in taken_on {
            let core = self.clone();
            tasks.spawn(async move { core.settle(task).await });
        }
        for name in blindly {
            let core = self.clone();
            tasks.spawn(async move { core.adopt_blindly(name, since).await });
        }
        tasks.join_all().await;
        // What the tasks told the state has been taken note of once this answers.
        self.ask(|_| Ok(())).await
    }

    /// Takes over a sandbox whose shim appeared unasked: an administrator started its unit, or
    /// systemd acted on a request that had been given up.
    pub(crate) async fn appeared(&self, id: SandboxId) {
        // Most of them were asked for: systemd need not be asked about those.
        let free = self.ask(move |state| Ok(state.by_id(id).is_some_and(Sandbox::free)));
        if free.await != Ok(true) {
            return;
        }
        let since = self.ports().clock.boot_time_ns();
        let Ok(unit @ (UnitState::Active | UnitState::Activating)) =
            self.ports().units.state(Unit::Sandbox(id)).await
        else {
            return;
        };
        let unasked = self.ask(move |state| Ok(take_on(state, id, unit, since)));
        if let Ok(Some(task)) = unasked.await {
            self.settle(task).await;
        }
        let unreadable = self.ask(move |state| Ok(take_on_blindly(state, id, unit)));
        if let Ok(Some(name)) = unreadable.await {
            self.adopt_blindly(name, since).await;
        }
    }

    async fn settle(&self, task: Task) {
        let Task {
            record,
            plan,
            since,
        } = task;
        match plan {
            Plan::Rest => self.rest(&record).await,
            Plan::Adopt => self.adopt(record, since).await,
            Plan::FinishStart => self.resume_start(record, since),
            Plan::Follow => {
                self.follow_unreached(&record, RunState::Stopping, since)
                    .await;
            }
            Plan::RollBack => self.in_background(record, Operation::Remove, Self::roll_back),
            Plan::Remove => self.in_background(record, Operation::Remove, Self::resume_removal),
        }
    }

    async fn rest(&self, record: &SandboxRecord) {
        let id = record.id;
        let report = self.ports().shims.report(id, 0, Duration::ZERO).await;
        let Some(report) = report else { return };
        if let Outcome::Failed(failure) = report.outcome {
            let failure = sandbox_failed(failure);
            let clock = &self.ports().clock;
            let ago = clock.boot_time_ns().saturating_sub(report.boot_time_ns);
            let now = clock.now();
            let at = now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now);
            self.tell(move |state| {
                state.update(id, |sandbox| {
                    if sandbox.free() {
                        sandbox.fail(at, failure);
                    }
                });
            });
        }
    }

    /// Takes over a sandbox whose unit is started.
    async fn adopt(&self, record: SandboxRecord, since: u64) {
        let name = record.record_name();
        let Ok(link) = self.ports().shims.connect(record.id, HELLO_WAIT).await else {
            note(&name, "adopted", "runs, but its shim does not answer");
            self.follow_unreached(&record, RunState::Running, since)
                .await;
            return;
        };
        let begun = !matches!(
            link.hello.state,
            RunState::AwaitingCredentials | RunState::Starting
        );
        if begun && record.phase == Phase::Created {
            if let Ok(guard) = self.begin_run(&name, Ok(&link)).await {
                note(&name, "adopted", "runs, taken over");
                self.follow(name.clone(), since, Some(link), guard);
                self.missed(name);
            }
            self.release(&record);
            return;
        }
        drop(link);
        note(&name, "adopted", "is starting, taken over");
        self.resume_start(record, since);
    }

    /// Takes over a sandbox whose record cannot be used. It is given nothing, but what it has can be
    /// taken away.
    async fn adopt_blindly(&self, name: RecordName, since: u64) {
        let link = self.ports().shims.connect(name.id, HELLO_WAIT).await.ok();
        let known = link.as_ref().ok_or(RunState::Running);
        if let Ok(guard) = self.begin_run(&name, known).await {
            note(&name, "adopted", "runs, but its record cannot be used");
            self.follow(name.clone(), since, link, guard);
        }
        self.tell(move |state| state.update(name.id, |sandbox| sandbox.busy = None));
    }

    /// Follows a sandbox whose shim cannot be reached, until it can be or its unit is gone.
    async fn follow_unreached(&self, record: &SandboxRecord, state: RunState, since: u64) {
        let name = record.record_name();
        if let Ok(guard) = self.begin_run(&name, Err(state)).await {
            self.follow(name, since, None, guard);
        }
        self.release(record);
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
