//! The handle everything else has on the core, and the task behind it.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forage_api::config::Config;
use forage_api::ident::SandboxName;
use forage_api::record::RecordName;
use forage_api::{ErrorKind, Failure};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot, watch};

use super::ports::Ports;
use super::sandbox::SandboxStatus;
use super::state::State;
pub(super) use super::turns::Order;
use super::turns::Turns;

type Step = Box<dyn FnOnce(&mut State) + Send>;

/// The handle on the core.
#[derive(Clone)]
pub(crate) struct Core(Arc<Inner>);

struct Inner {
    ports: Ports,
    steps: mpsc::UnboundedSender<Step>,
    /// How many operations are under way.
    operations: watch::Sender<usize>,
    /// An owner's turn lasts while their entry of the token store is written, and from reading it until
    /// what was read is handed to shims: what arrives last at a shim is then what was stored last.
    turns: Turns,
    /// Held while a record is changed: no change is lost, and none brings a deleted record back.
    record_order: Mutex<()>,
}

/// What an operation is about, for the journal.
pub(crate) struct Subject {
    pub(crate) operation: &'static str,
    pub(crate) owner: u32,
    /// The sandbox's name, where it is about one.
    pub(crate) name: Option<SandboxName>,
}

impl Core {
    /// Starts the task that owns the state.
    pub(crate) fn new(ports: Ports, mut state: State) -> Self {
        let (steps, mut queue) = mpsc::unbounded_channel::<Step>();
        tokio::spawn(async move {
            while let Some(step) = queue.recv().await {
                step(&mut state);
            }
        });
        Self(Arc::new(Inner {
            ports,
            steps,
            operations: watch::Sender::new(0),
            turns: Turns::default(),
            record_order: Mutex::new(()),
        }))
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    /// Waits for an owner's turn to have tokens stored and handed over.
    pub(super) async fn order(&self, owner: u32) -> Order {
        self.0.turns.of(owner).await
    }

    pub(super) async fn record_order(&self) -> MutexGuard<'_, ()> {
        self.0.record_order.lock().await
    }

    /// Has the owner of the state take a step and waits for what comes of it.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut State) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        self.tell(move |state| {
            let _asked = sender.send(step(state));
        });
        receiver
            .await
            .unwrap_or_else(|_| Err(Failure::new(ErrorKind::Internal, "the daemon is ending")))
    }

    /// Has the owner of the state take a step. Steps are taken in the order they were asked for.
    pub(crate) fn tell(&self, step: impl FnOnce(&mut State) + Send + 'static) {
        let _sent = self.0.steps.send(Box::new(step));
    }

    /// The configuration in force.
    pub(crate) async fn config(&self) -> Result<Arc<Config>, Failure> {
        self.ask(|state| Ok(state.settings.config())).await
    }

    /// Whether the configuration that was read last is in force.
    pub(crate) async fn is_configured(&self) -> Result<bool, Failure> {
        self.ask(|state| Ok(state.settings.is_good())).await
    }

    /// How many sandboxes there are, and how many of them run.
    pub(crate) async fn numbers(&self) -> Result<(usize, usize), Failure> {
        self.ask(|state| Ok(state.numbers())).await
    }

    /// Takes a configuration that was read again. It may name another user, or share no longer: what
    /// runs gets the token that is its owner's by the new one.
    pub(crate) async fn reload(&self, loaded: Result<Config, String>) -> Result<(), Failure> {
        let good = loaded.is_ok();
        let takers = self
            .ask(move |state| {
                state.settings.reload(loaded);
                let takers = state.all().filter(|one| good && state.takes_token(one));
                Ok(takers.map(|one| one.name.clone()).collect::<Vec<_>>())
            })
            .await?;
        for name in takers {
            self.missed(name);
        }
        Ok(())
    }

    /// Describes one sandbox.
    pub(crate) async fn get(
        &self,
        owner: u32,
        name: SandboxName,
    ) -> Result<SandboxStatus, Failure> {
        let now = self.ports().clock.boot_time_ns();
        self.ask(move |state| {
            let config = state.settings.config();
            Ok(state.find(owner, &name)?.status_in_full(now, &config))
        })
        .await
    }

    /// Opens the logs of a sandbox's last runs.
    pub(crate) async fn logs(
        &self,
        owner: u32,
        name: SandboxName,
    ) -> Result<Vec<OwnedFd>, Failure> {
        let id = self
            .ask(move |state| Ok(state.find(owner, &name)?.name.id))
            .await?;
        self.ports().shims.log(id).await
    }

    /// Describes the sandboxes of one owner, or of all.
    pub(crate) async fn list(&self, owner: Option<u32>) -> Result<Vec<SandboxStatus>, Failure> {
        self.ask(move |state| Ok(state.list(owner))).await
    }

    /// Runs an operation in a task of its own, so that it goes on when its caller goes away, and
    /// writes its one entry in the journal.
    pub(super) async fn operate<T: Send + 'static>(
        &self,
        subject: Subject,
        operation: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let core = self.clone();
        let task = async move {
            core.0.operations.send_modify(|number| *number += 1);
            let begin = Instant::now();
            let outcome = operation.await;
            core.journal(&subject, begin.elapsed(), outcome.as_ref().err());
            core.0.operations.send_modify(|number| *number -= 1);
            outcome
        };
        tokio::spawn(task)
            .await
            .unwrap_or_else(|_| Err(Failure::new(ErrorKind::Internal, "the operation broke off")))
    }

    /// Waits until no operation is under way; tells whether that is so.
    pub(crate) async fn idle(&self, wait: Duration) -> bool {
        let mut operations = self.0.operations.subscribe();
        let none = operations.wait_for(|number| *number == 0);
        tokio::time::timeout(wait, none).await.is_ok()
    }

    fn journal(&self, subject: &Subject, took: Duration, failure: Option<&Failure>) {
        let outcome = failure.map_or("ok", |failure| failure.kind.noun());
        let name = subject.name.as_ref().map_or("", SandboxName::as_str);
        let cause = failure
            .map(|failure| format!(", {}", plain(&failure.message)))
            .unwrap_or_default();
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            FORAGE_EVENT = "operation",
            FORAGE_OPERATION = subject.operation,
            FORAGE_SANDBOX = name,
            FORAGE_UID = subject.owner,
            FORAGE_OUTCOME = outcome,
            FORAGE_DURATION_MS = milliseconds,
            "{} {name} for uid {}: {outcome}{cause}",
            subject.operation,
            subject.owner,
        );
    }
}

/// Writes an entry about one sandbox that no operation of a caller's is the cause of.
pub(super) fn note(name: &RecordName, event: &'static str, text: &str) {
    tracing::info!(
        FORAGE_EVENT = event,
        FORAGE_SANDBOX = name.name.as_str(),
        FORAGE_ID = %name.id,
        FORAGE_UID = name.owner,
        "sandbox {} ({}) of uid {}: {}",
        name.name,
        name.id,
        name.owner,
        plain(text),
    );
}

/// Foreign text as it may stand in the journal: escaped, and cut where it would flood it.
fn plain(text: &str) -> String {
    const MOST: usize = 256;
    text.chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect()
}
