//! systemd over the bus: jobs that start and stop our units, and their states.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use forage_api::ident::SandboxId;
use forage_api::{ErrorKind, Failure, names};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use zbus::{Connection, OwnedObjectPath};

use super::late::LateStarts;
use super::systemd_proxy::{JobRemovedStream, ManagerProxy, UnitRemovedStream, UnitRow};
use crate::core::{Job, JobEnd, Unit, UnitState, Units};
use crate::stream::next;

/// How long systemd, and polkit behind it, may take to answer. Users are promised to hear within five
/// seconds that one of the two hangs.
const DEADLINE: Duration = Duration::from_secs(3);
/// How many ended jobs are remembered: one may end before the reply that names it is read.
const MOST_ENDED: usize = 256;
/// How long at most until a unit is looked at again, should a signal have been lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// systemd on the system bus.
#[derive(Debug)]
pub(crate) struct Systemd {
    manager: ManagerProxy<'static>,
    jobs: Mutex<Jobs>,
    /// Counts units that went.
    departures: watch::Sender<u64>,
    subscribed: AtomicBool,
    late: LateStarts,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: HashMap<OwnedObjectPath, oneshot::Sender<JobEnd>>,
    ended: VecDeque<(OwnedObjectPath, JobEnd)>,
}

/// The signals of systemd, for [`Systemd::run`].
pub(crate) struct Signals {
    jobs: JobRemovedStream,
    units: UnitRemovedStream,
}

impl Systemd {
    /// Listens to systemd on a connection. Signals are taken from systemd alone: the proxy drops
    /// those other senders make up.
    pub(crate) async fn connect(connection: &Connection) -> zbus::Result<(Self, Signals)> {
        let manager = ManagerProxy::builder(connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        let signals = Signals {
            jobs: manager.receive_job_removed().await?,
            units: manager.receive_unit_removed().await?,
        };
        let this = Self {
            late: LateStarts::new(manager.clone()),
            manager,
            jobs: Mutex::default(),
            departures: watch::Sender::new(0),
            subscribed: AtomicBool::new(false),
        };
        Ok((this, signals))
    }

    /// Takes signals for as long as the connection lives.
    pub(crate) async fn run(&self, mut signals: Signals) {
        loop {
            tokio::select! {
                job = next(&mut signals.jobs) => {
                    let Some(job) = job else { return };
                    if let Ok(args) = job.args() {
                        self.job_ended(args.job().clone(), args.result());
                    }
                }
                unit = next(&mut signals.units) => {
                    let Some(unit) = unit else { return };
                    if unit.args().is_ok_and(|args| sandbox_of(args.id()).is_some()) {
                        self.departures.send_modify(|number| *number = number.wrapping_add(1));
                    }
                }
            }
        }
    }

    fn job_ended(&self, path: OwnedObjectPath, result: &str) {
        let end = match result {
            "done" => JobEnd::Done,
            other => JobEnd::Failed(other.to_owned()),
        };
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = jobs.waiting.remove(&path) {
            let _waited = waiting.send(end);
            return;
        }
        if jobs.ended.len() == MOST_ENDED {
            jobs.ended.pop_front();
        }
        jobs.ended.push_back((path, end));
    }

    fn job(&self, path: OwnedObjectPath) -> Job {
        let (sender, receiver) = oneshot::channel();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.waiting.retain(|_, waiting| !waiting.is_closed());
        match jobs.ended.iter().position(|(ended, _)| *ended == path) {
            Some(at) => {
                if let Some((_, end)) = jobs.ended.remove(at) {
                    let _waited = sender.send(end);
                }
            }
            None => {
                jobs.waiting.insert(path, sender);
            }
        }
        Job::new(receiver)
    }

    /// Asks systemd something; it sends signals only to those who subscribed.
    async fn ask<T>(&self, question: impl Future<Output = zbus::Result<T>>) -> Result<T, Failure> {
        let asked = async {
            if !self.subscribed.load(Ordering::Relaxed) {
                self.manager.subscribe().await?;
                self.subscribed.store(true, Ordering::Relaxed);
            }
            question.await
        };
        match timeout(DEADLINE, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(silent()),
        }
    }

    async fn rows(&self, pattern: &str) -> Result<Vec<UnitRow>, Failure> {
        self.ask(self.manager.list_units_by_patterns(&[], &[pattern]))
            .await
    }
}

#[async_trait]
impl Units for Systemd {
    async fn start(&self, unit: Unit) -> Result<Job, Failure> {
        let name = name_of(unit);
        let path = match unit {
            Unit::Sandbox(_) => self.ask(self.late.start(name)).await?,
            Unit::Remove(_) => self.ask(self.manager.start_unit(&name, "replace")).await?,
        };
        Ok(self.job(path))
    }

    async fn stop(&self, id: SandboxId) -> Result<Job, Failure> {
        let name = names::sandbox_unit(id);
        let path = self.ask(self.manager.stop_unit(&name, "replace")).await?;
        Ok(self.job(path))
    }

    async fn list(&self) -> Result<HashMap<SandboxId, UnitState>, Failure> {
        let rows = self.rows("forage-sandbox@*.service").await?;
        let state = |row: &UnitRow| Some((sandbox_of(&row.0)?, unit_state(&row.3)));
        Ok(rows.iter().filter_map(state).collect())
    }

    async fn state(&self, unit: Unit) -> Result<UnitState, Failure> {
        let rows = self.rows(&name_of(unit)).await?;
        let Some(row) = rows.first() else {
            return Ok(UnitState::Gone);
        };
        let queued = matches!(unit, Unit::Remove(_)) && row.7 != 0;
        Ok(match unit_state(&row.3) {
            UnitState::Gone if queued => UnitState::Activating,
            state => state,
        })
    }

    async fn gone(&self, id: SandboxId, wait: Duration) -> bool {
        let mut departures = self.departures.subscribe();
        let deadline = Instant::now() + wait;
        loop {
            departures.mark_unchanged();
            if self.state(Unit::Sandbox(id)).await == Ok(UnitState::Gone) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            let again = deadline.min(Instant::now() + LOOK_AGAIN);
            let _departed = timeout_at(again, departures.changed()).await;
        }
    }
}

fn name_of(unit: Unit) -> String {
    match unit {
        Unit::Sandbox(id) => names::sandbox_unit(id),
        Unit::Remove(id) => names::remove_unit(id),
    }
}

fn sandbox_of(unit: &str) -> Option<SandboxId> {
    unit.strip_prefix("forage-sandbox@")?
        .strip_suffix(".service")?
        .parse()
        .ok()
}

fn unit_state(active_state: &str) -> UnitState {
    match active_state {
        "active" | "reloading" | "refreshing" => UnitState::Active,
        "activating" | "maintenance" => UnitState::Activating,
        "deactivating" => UnitState::Deactivating,
        _ => UnitState::Gone,
    }
}

fn refused(error: &zbus::Error) -> Failure {
    let (name, text) = match error {
        zbus::Error::MethodError(name, text, _) => (name.as_str(), text.as_deref()),
        _ => ("", None),
    };
    tracing::warn!(FORAGE_EVENT = "systemd", "systemd refuses: {error}");
    let last = name.rsplit('.').next().unwrap_or_default();
    let unavailable =
        |message: &str, hint: &str| Failure::new(ErrorKind::Unavailable, message).hint(hint);
    // systemd asks polkit first, and passes on why that could not be started.
    let about_polkit = text.is_some_and(|text| text.contains("polkit"));
    match last {
        "AccessDenied" | "InteractiveAuthorizationRequired" => unavailable(
            "systemd does not let the daemon start and stop sandboxes",
            "the polkit rule 10-firefly-forage.rules is missing, or polkit is not running: \
             systemctl status polkit",
        ),
        _ if about_polkit => unavailable(
            "systemd cannot ask polkit, which does not run and cannot be started",
            "systemctl status polkit says why; if it is masked: systemctl unmask polkit",
        ),
        "UnitMasked" => unavailable(
            "the units of sandboxes are masked",
            "systemctl unmask forage-sandbox@.service forage-remove@.service",
        ),
        "NoSuchUnit" => unavailable(
            "the units of sandboxes are not installed",
            "systemctl cat forage-sandbox@.service should show one",
        ),
        _ => unavailable(
            "systemd refuses, or cannot be reached on the system bus",
            "journalctl -u firefly-forage says how; systemctl status polkit dbus",
        ),
    }
}

fn silent() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        format!(
            "systemd gave no answer within {} seconds",
            DEADLINE.as_secs()
        ),
    )
    .hint("polkit may hang, which systemd asks first: systemctl restart polkit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_and_states() {
        assert_eq!(
            sandbox_of("forage-sandbox@0000abcd.service"),
            Some(SandboxId::new(0xabcd))
        );
        for foreign in [
            "forage-sandbox@x.service",
            "forage-remove@0000abcd.service",
            "x",
        ] {
            assert_eq!(sandbox_of(foreign), None);
        }
        assert_eq!(unit_state("failed"), UnitState::Gone);
        assert_eq!(unit_state("deactivating"), UnitState::Deactivating);
    }
}
