//! Wires the parts together and runs them until one of them ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forage_api::config::{self, Config};
use forage_api::{Failure, places};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use zbus::Connection;

use crate::auth::{HostUsers, Polkit};
use crate::blocking::blocking;
use crate::bus::{self, BusCallers, Gate, Subscribers};
use crate::core::{Core, Ports, Records, Settings, State, Users};
use crate::runtime::{HostClock, Inbox, SocketShims, Systemd};
use crate::store::{Disk, RecordFiles, StateLock, StoreError, TokenDirectory};
use crate::{hardening, service};

/// How long operations that are under way may take to end when the daemon is stopped.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often systemd is asked again that could not be asked at the start.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How many changes may wait to be told to subscribers.
const MOST_CHANGES: usize = 1024;
/// Threads for work that may hang: look-ups of users, and reading what others handed over.
const MOST_THREADS: usize = 8;

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("cannot set the process up: {0}")]
    Setup(std::io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Start(#[from] Failure),
    #[error("the system bus: {0}")]
    Bus(#[from] zbus::Error),
    #[error(
        "another process has the name {} on the system bus",
        forage_api::names::BUS_NAME
    )]
    NameTaken,
    #[error("the connection to the system bus is lost")]
    BusLost,
    #[error("{0}")]
    Inbox(std::io::Error),
}

/// Runs the daemon.
pub(crate) fn run() -> Result<(), RunError> {
    hardening::apply().map_err(RunError::Setup)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MOST_THREADS)
        .build()
        .map_err(RunError::Setup)?;
    let outcome = runtime.block_on(daemon());
    // A look-up that hangs must not keep the process from ending.
    runtime.shutdown_background();
    outcome
}

async fn daemon() -> Result<(), RunError> {
    let mut signals = Signals::listen().map_err(RunError::Setup)?;
    let _lock = StateLock::take(Path::new(places::SANDBOXES))?;
    let connection = bus::connect().await?;
    let (sockets_sender, mut sockets) = mpsc::unbounded_channel();
    let inbox = Inbox::open(sockets_sender).map_err(RunError::Inbox)?;
    let (systemd, systemd_signals) = Systemd::connect(&connection).await?;
    let systemd = Arc::new(systemd);
    let listening = Arc::clone(&systemd);
    tokio::spawn(async move { listening.run(systemd_signals).await });

    let users: Arc<dyn Users> = Arc::new(HostUsers::new());
    let disk = Disk::start().map_err(RunError::Setup)?;
    let records = Arc::new(RecordFiles::new(places::SANDBOXES, disk.clone()));
    let loaded = records.load().await?;
    let ports = Ports {
        records,
        tokens: Arc::new(TokenDirectory::open(places::TOKENS, disk)?),
        units: systemd,
        shims: Arc::new(SocketShims::new(inbox.arrivals())),
        users: Arc::clone(&users),
        clock: Arc::new(HostClock::new().map_err(RunError::Setup)?),
    };
    let (changes_sender, changes) = mpsc::channel(MOST_CHANGES);
    let state = State::new(loaded, Settings::new(load_config().await?), changes_sender);
    let core = Core::new(ports, state);
    let inbox = tokio::spawn(inbox.run());
    reconcile(&core).await;

    let subscribers = Arc::new(Subscribers::default());
    let departures = Subscribers::departures(&connection).await?;
    let gate = Gate::new(
        core.clone(),
        Arc::new(BusCallers::new(connection.clone())),
        users,
        Arc::new(Polkit::new(connection.clone())),
    );
    bus::export(&connection, Arc::new(gate), Arc::clone(&subscribers)).await?;
    take_name(&connection).await?;
    service::ready(&status(&core).await);
    tracing::info!(FORAGE_EVENT = "ready", "ready");

    let (bus, telling) = (connection.clone(), Arc::clone(&subscribers));
    tokio::spawn(async move { telling.run(&bus, departures, changes).await });
    tokio::spawn(watchdog(core.clone()));
    tokio::spawn(core.clone().keep_deadlines());
    let appearing = core.clone();
    tokio::spawn(async move {
        // One after the other, so that none is taken over twice.
        while let Some(id) = sockets.recv().await {
            appearing.appeared(id).await;
        }
    });
    tokio::select! {
        () = signals.until_stopped(&core) => {}
        () = connection.closed() => return Err(RunError::BusLost),
        failed = inbox => return Err(RunError::Inbox(failed.unwrap_or_else(|e| e.into()))),
    }
    leave(&connection, &core).await?;
    Ok(())
}

/// Ends in order: nothing new comes in, what is under way may end, and its answers are sent.
async fn leave(connection: &Connection, core: &Core) -> zbus::Result<()> {
    service::stopping();
    bus::give_name_back(connection).await?;
    if !core.idle(PATIENCE).await {
        tracing::warn!(
            FORAGE_EVENT = "exit",
            "operations are under way, the next start continues them"
        );
    }
    bus::flush(connection).await
}

async fn take_name(connection: &Connection) -> Result<(), RunError> {
    match bus::take_name(connection).await {
        Err(zbus::Error::NameTaken) => Err(RunError::NameTaken),
        other => Ok(other?),
    }
}

/// Takes over what there is. A systemd that cannot be asked is asked again: until then nothing can be
/// started, but everything can be seen.
async fn reconcile(core: &Core) {
    let Err(failure) = core.reconcile().await else {
        return;
    };
    tracing::warn!(FORAGE_EVENT = "reconcile", "{failure}, trying again");
    let core = core.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            if core.reconcile().await.is_ok() {
                return;
            }
        }
    });
}

async fn load_config() -> Result<Result<Config, String>, Failure> {
    let loaded = blocking(|| config::load(Path::new(places::CONFIG))).await?;
    Ok(loaded.map_err(|error| {
        let problem = error.to_string();
        tracing::error!(
            FORAGE_EVENT = "config",
            "{problem}; starts are refused until it is corrected"
        );
        problem
    }))
}

/// What `systemctl status` shows.
async fn status(core: &Core) -> String {
    let (known, running) = core.numbers().await.unwrap_or_default();
    let plural = if known == 1 { "" } else { "es" };
    let mut text = format!("{known} sandbox{plural}, {running} running");
    if !core.is_configured().await.unwrap_or(true) {
        text.push_str("; starts are refused: the configuration cannot be used");
    }
    text
}

/// Says that the daemon is alive, as long as its core answers, and how things are.
async fn watchdog(core: Core) {
    let Some(interval) = service::watchdog_interval() else {
        return;
    };
    loop {
        if core.config().await.is_ok() {
            service::alive(&status(&core).await);
        }
        tokio::time::sleep(interval).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads when asked to; returns when asked to end.
    async fn until_stopped(&mut self, core: &Core) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => reload(core).await,
            }
        }
    }
}

async fn reload(core: &Core) {
    service::reloading();
    if let Ok(loaded) = load_config().await {
        let good = loaded.is_ok();
        let _taken = core.reload(loaded).await;
        if good {
            tracing::info!(FORAGE_EVENT = "config", "took the configuration over");
        }
    }
    service::ready(&status(core).await);
}
