//! The run of a sandbox, from the check of its record to the end of its container.
//!
//! | part | what |
//! | --- | --- |
//! | `build` | the steps between the credentials and the boot |
//! | `credentials` | what the daemon wants of them, and secrets' files |
//! | `events` | the main loop: one process, one thread, everything is an event |
//! | `facts` | what the run is like, for those who ask |
//! | `requests` | what the daemon asks |
//! | `freezing` | stopping the sandbox's processes where they stand |
//! | `words` | what the container and systemd-nspawn say |
//! | `ending` | stopping, and what the container's end means |

mod build;
mod connection;
mod credentials;
mod ending;
mod events;
mod facts;
mod freezing;
mod listener;
mod requests;
mod words;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use forage_api::Failure;
use forage_api::ident::{SandboxId, SecretName};
use forage_api::shim::control::{Event, FromShim, Hello, RunState, VERSION};
use forage_api::shim::facts::Facts;
use forage_api::shim::report::Outcome;
use nix::sys::signalfd::SignalFd;
use rustix::event::PollFlags;

use crate::admission::{self, Admitted};
use crate::cgroup::Unit;
use crate::config_dir::{self, Keeper};
use crate::exec::Session;
use crate::exec::filters::Filters;
use crate::limits::{self, Pending};
use crate::log::RunLog;
use crate::network::Network;
use crate::nspawn::Nspawn;
use crate::nspawn::leader::Leader;
use crate::root::Opened;
use crate::secrets::Delivery;
use crate::secrets::watch::Watch;
use crate::sys::mount::Detached;
use crate::sys::signals;
use crate::sys::time::{Deadline, poll_one};
use crate::{cleanup, fail, report, root, slot, workspace};
use connection::Connection;
use listener::Listener;

pub use listener::fresh as fresh_socket;

/// How long the daemon may take to bring the credentials.
const CREDENTIALS: Duration = Duration::from_secs(10);

/// How far the run has got, and until when it may stay there.
#[derive(Debug, Clone)]
enum Phase {
    /// Everything is checked, nothing is changed.
    Awaiting(Deadline),
    /// The container boots.
    Booting(Deadline),
    /// The container runs.
    Running,
    /// The container was asked to power off.
    Stopping(Deadline),
    /// The container was killed; it ends at once.
    Killed,
    /// The container has ended; the sessions of its commands say so to their command lines.
    Ended(Deadline, Result<(), Failure>),
}

/// A run.
struct Run<'a> {
    sandbox: &'a Admitted,
    unit: Unit,
    signals: SignalFd,
    listener: Listener,
    daemon: Option<Connection>,
    phase: Phase,
    /// Whether the container and the commands are frozen.
    frozen: bool,
    step: &'static str,
    /// What the root is made of, and the pinned workspace, until the root is built from them.
    opened: Option<(Opened, Detached)>,
    /// The agents' configuration directories: what looks after the copies of them.
    configs: Vec<Keeper>,
    network: Option<Network>,
    delivery: Delivery,
    /// Over the secrets' files, where there are any: the host has few of these to give.
    watch: Option<Watch>,
    retry: Option<Deadline>,
    /// Secrets that may still be being written, and when they are read if nothing else happens.
    unsettled: BTreeSet<SecretName>,
    settles: Option<Deadline>,
    container: Option<Nspawn>,
    leader: Option<(Leader, Option<Filters>)>,
    sessions: Vec<Session>,
    next_session: u64,
    facts: Facts,
    /// The limits, until systemd has set them.
    limits: Option<Pending>,
    log: &'a mut RunLog,
}

/// Runs a sandbox to its end. The result is the process's exit status.
pub fn run(id: SandboxId) -> u8 {
    let mut log = RunLog::new(id);
    let outcome = whole_run(id, &mut log).err().unwrap_or(Outcome::Stopped);
    let status = match &outcome {
        Outcome::Refused(failure) => {
            tracing::warn!(FORAGE_EVENT = "refused", "refused: {failure}");
            1
        }
        Outcome::Failed(failure) => {
            tracing::error!(FORAGE_EVENT = "failed", "failed: {failure}");
            log.note(&format!("failed: {failure}"));
            1
        }
        _ => {
            tracing::info!(FORAGE_EVENT = "stopped", "stopped");
            log.note("stopped");
            0
        }
    };
    if let Err(error) = report::note(id, outcome) {
        tracing::error!("cannot note how the run ended: {error}");
    }
    status
}

fn whole_run(id: SandboxId, log: &mut RunLog) -> Result<(), Outcome> {
    let broken =
        |what: &'static str| move |error: io::Error| Outcome::Failed(fail::start(what, error));
    let sandbox = admission::admit(id).map_err(Outcome::Refused)?;
    let _slot = slot::take(sandbox.record.slot).map_err(Outcome::Refused)?;
    report::forget(id).map_err(broken("remove the last run's report"))?;
    // What cannot be removed is in the journal, and in the way only where it is needed.
    cleanup::remove_run(id);
    let signals = signals::stop_requests().map_err(broken("take over signals"))?;
    let unit = Unit::own().map_err(broken("find the unit's cgroup"))?;
    unit.clear();
    let listener = Listener::open(id, sandbox.daemon).map_err(Outcome::Failed)?;
    tracing::info!(FORAGE_EVENT = "checking", "checking");
    log.note("checking");
    let limits = limits::begin(id, &sandbox.template.resource_limits).map_err(Outcome::Failed)?;
    let delivery = Delivery::plan(&sandbox);
    // Before any secret is in memory, of which their processes have a copy.
    let mut configs = config_dir::begin(&sandbox).map_err(Outcome::Failed)?;
    let checked = check(&sandbox, &delivery, &mut configs, &signals);
    if stop_requested(&signals) {
        return Ok(());
    }
    let (network, base, workspace, told) = checked.map_err(Outcome::Refused)?;
    log.begin(sandbox.daemon.gid);
    let watch = Watch::over(&sandbox.secrets).map_err(broken("watch the secrets' files"))?;
    let deadline = Deadline::after(CREDENTIALS);
    let mut run = Run {
        sandbox: &sandbox,
        unit,
        signals,
        listener,
        daemon: None,
        phase: Phase::Awaiting(deadline),
        frozen: false,
        step: "checking",
        opened: Some((base, workspace)),
        configs,
        network,
        delivery,
        watch,
        retry: None,
        unsettled: BTreeSet::new(),
        settles: None,
        container: None,
        leader: None,
        sessions: Vec::new(),
        next_session: 0,
        facts: facts::at_start(&sandbox),
        limits,
        log,
    };
    run.note_configs(told);
    run.main_loop().map_err(Outcome::Failed)
}

/// Everything that can be wrong is found here, before anything is changed: a detached mount is
/// nowhere to be seen. The workspace comes last, since it may have to be made.
fn check(
    sandbox: &Admitted,
    delivery: &Delivery,
    configs: &mut [Keeper],
    signals: &SignalFd,
) -> Result<(Option<Network>, Opened, Detached, Vec<String>), Failure> {
    let network = Network::check(sandbox)?;
    let base = root::open(sandbox)?;
    delivery.check()?;
    let told = config_dir::ready(configs, signals.as_fd())?;
    let workspace = workspace::pin(sandbox, signals.as_fd())?;
    Ok((network, base, workspace, told))
}

fn stop_requested(signals: &SignalFd) -> bool {
    let now = Deadline::after(Duration::ZERO);
    poll_one(signals.as_fd(), PollFlags::IN, now).unwrap_or(false)
}

impl Run<'_> {
    /// How far the run has got, as the daemon sees it.
    fn state(&self) -> RunState {
        match self.phase {
            Phase::Awaiting(_) => RunState::AwaitingCredentials,
            Phase::Booting(_) => RunState::Starting,
            Phase::Running if self.frozen => RunState::Frozen,
            Phase::Running => RunState::Running,
            Phase::Stopping(_) | Phase::Killed | Phase::Ended(..) => RunState::Stopping,
        }
    }

    fn hello(&self) -> FromShim {
        FromShim::Hello(Hello {
            version: VERSION,
            id: self.sandbox.id(),
            state: self.state(),
            credentials: self.delivery.delivered(),
            facts: Some(Box::new(self.facts.clone())),
        })
    }

    /// Tells the daemon, if it is there.
    fn tell(&mut self, message: &FromShim) {
        let sent = self.daemon.as_mut().map(|daemon| daemon.send(message));
        if let Some(Err(error)) = sent {
            self.hang_up(&error);
        }
    }

    fn tell_event(&mut self, event: Event) {
        self.tell(&FromShim::Event(event));
    }

    fn hang_up(&mut self, error: &io::Error) {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            tracing::warn!(FORAGE_EVENT = "hung-up", "hung up on the daemon: {error}");
        }
        self.daemon = None;
    }

    fn enter(&mut self, phase: Phase) {
        self.change(|run| run.phase = phase);
    }

    /// Changes something, and tells if that changed the state.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.state();
        change(self);
        let now = self.state();
        if before != now {
            tracing::info!(FORAGE_EVENT = "state", "now {now:?}");
            self.log.note(now.as_str());
            self.tell_event(Event::State(now));
        }
    }

    fn begin_step(&mut self, step: &'static str) {
        self.step = step;
        tracing::info!(FORAGE_EVENT = step, "{step}");
        self.log.note(step);
        self.tell_event(Event::Step(step.to_owned()));
    }
}
