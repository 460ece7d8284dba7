//! A sandbox's run: taking note of it when its shim is reached, following what the shim tells, and
//! taking note of its end. Who stops a sandbox, or whether it ends by itself, makes no difference
//! here.

use std::time::Duration;

use forage_api::record::RecordName;
use forage_api::shim::control::{Event, RunState};
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure};
use tokio::sync::watch;

use super::handle::{Core, note};
use super::link::Link;
use super::ports::{Unit, UnitState};
use super::sandbox::Run;

/// How long a report may take to appear once the unit is gone.
pub(super) const REPORT_WAIT: Duration = Duration::from_secs(2);
/// The longest pause between two looks at a unit whose shim cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Holds a run open: when this is dropped, the run has ended.
pub(super) struct RunGuard {
    _open: watch::Sender<()>,
}

/// How a run ended.
pub(super) enum RunEnd {
    /// It stopped as it should.
    Clean,
    /// It failed.
    Failed(Failure),
    /// It was refused before it changed anything.
    Nothing,
}

impl Core {
    /// Takes note of a run: of its shim, or, where that cannot be reached, of what is known otherwise.
    pub(super) async fn begin_run(
        &self,
        name: &RecordName,
        link: Result<&Link, RunState>,
    ) -> Result<RunGuard, Failure> {
        let (sender, ended) = watch::channel(());
        let run = Run {
            shim: link.ok().map(|link| link.shim.clone()),
            state: link.map_or_else(|state| state, |link| link.hello.state),
            credentials: link.ok().map(|link| link.hello.credentials.clone()),
            facts: link.ok().and_then(|link| link.hello.facts.clone()),
            ended,
            missed: 0,
        };
        let id = name.id;
        self.ask(move |state| {
            state.update(id, |sandbox| sandbox.run = Some(run));
            Ok(RunGuard { _open: sender })
        })
        .await
    }

    /// Takes note of the end of a run, and then lets those know who wait for it.
    pub(super) fn end_run(&self, name: &RecordName, guard: RunGuard, end: RunEnd) {
        let id = name.id;
        let now = self.ports().clock.now();
        self.tell(move |state| {
            state.update(id, |sandbox| {
                sandbox.run = None;
                match end {
                    RunEnd::Clean => sandbox.failure = None,
                    RunEnd::Failed(failure) => sandbox.fail(now, failure),
                    RunEnd::Nothing => {}
                }
            });
            drop(guard);
        });
    }

    /// Takes note of what a shim tells.
    pub(super) fn take_event(&self, name: &RecordName, event: Event) {
        let name = name.clone();
        self.tell(move |state| match event {
            Event::Step(_) => {}
            Event::State(now) => state.update_run(name.id, |run| run.state = now),
            Event::Credentials(all) => state.credentials(&name, all),
            Event::Facts(facts) => state.update_run(name.id, |run| run.facts = Some(facts)),
        });
    }

    /// Follows a run until it has ended. `since` is when it began or was taken over.
    pub(super) fn follow(&self, name: RecordName, since: u64, link: Option<Link>, guard: RunGuard) {
        let core = self.clone();
        tokio::spawn(async move {
            let mut link = link;
            loop {
                if let Some(link) = &mut link {
                    while let Some(event) = link.events.recv().await {
                        core.take_event(&name, event);
                    }
                }
                link = core.reconnect(&name).await;
                if link.is_none() {
                    break;
                }
            }
            let end = core.end_of(&name, since).await;
            match &end {
                RunEnd::Failed(failure) => note(&name, "failed", &failure.message),
                _ => note(&name, "stopped", "has stopped"),
            }
            core.end_run(&name, guard, end);
        });
    }

    /// Reaches a shim again whose conversation broke off. `None` when the unit is gone: only then
    /// nothing is left of the run.
    async fn reconnect(&self, name: &RecordName) -> Option<Link> {
        let id = name.id;
        self.tell(move |state| state.update_run(id, |run| run.shim = None));
        let mut pause = Duration::from_millis(100);
        loop {
            if self.ports().units.gone(id, pause).await {
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            let active = self.ports().units.state(Unit::Sandbox(id)).await == Ok(UnitState::Active);
            if !active {
                continue;
            }
            if let Ok(link) = self.ports().shims.connect(id, Duration::ZERO).await {
                note(name, "reconnected", "its shim answers again");
                let (shim, hello) = (link.shim.clone(), link.hello.clone());
                let whose = name.clone();
                self.tell(move |state| {
                    state.update_run(id, |run| {
                        run.shim = Some(shim);
                        run.state = hello.state;
                        run.facts = hello.facts;
                    });
                    state.credentials(&whose, hello.credentials);
                });
                self.missed(name.clone());
                return Some(link);
            }
        }
    }

    /// How a run ended whose unit is gone.
    async fn end_of(&self, name: &RecordName, since: u64) -> RunEnd {
        let report = self.ports().shims.report(name.id, since, REPORT_WAIT).await;
        match report.map(|report| report.outcome) {
            Some(Outcome::Stopped) => RunEnd::Clean,
            Some(Outcome::Failed(failure)) => RunEnd::Failed(sandbox_failed(failure)),
            _ => RunEnd::Failed(no_report(name)),
        }
    }
}

/// A failure of a run as its owner gets it, whatever the shim called it.
pub(super) fn sandbox_failed(failure: Failure) -> Failure {
    Failure {
        kind: ErrorKind::SandboxFailed,
        ..failure
    }
}

/// The failure of a run that ended without saying why.
pub(super) fn no_report(name: &RecordName) -> Failure {
    let message = format!("sandbox {} ended without saying why", name.name);
    Failure::new(ErrorKind::SandboxFailed, message).hint(format!(
        "see what it said: forage-ctl logs {} --start",
        name.name
    ))
}
