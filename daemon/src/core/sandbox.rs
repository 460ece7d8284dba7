//! One sandbox as the core sees it. Its state is not stored but derived from four facts, so that no
//! two of them can contradict each other.

use std::path::PathBuf;
use std::time::Duration;

use forage_api::bus::SandboxState;
use forage_api::config::{Base, Config};
use forage_api::ident::SandboxId;
use forage_api::record::{RecordName, SandboxRecord};
use forage_api::shim::control::{Delivered, RunState, TokenSource};
use forage_api::shim::facts::Facts;
use forage_api::{ErrorKind, Failure, places};
use jiff::Timestamp;
use tokio::sync::watch;

use super::link::Shim;

/// What can be under way on a sandbox; one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Start,
    Stop,
    Remove,
    /// Taking over a sandbox that was started, or half removed, before this process was.
    Adopt,
}

impl Operation {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Adopt => "adopt",
        }
    }
}

/// A run of a sandbox: from the start of its unit until nothing of it is left.
#[derive(Clone)]
pub(crate) struct Run {
    /// For asking its shim, where that can be reached.
    pub(crate) shim: Option<Shim>,
    /// How far it has got.
    pub(crate) state: RunState,
    /// What its agents were given; `None` while no shim was there to tell.
    pub(crate) credentials: Option<Vec<Delivered>>,
    /// What it is like; `None` while no shim was there to tell.
    pub(crate) facts: Option<Box<Facts>>,
    /// Closed when the run has ended.
    pub(crate) ended: watch::Receiver<()>,
    /// How many changes of the token have not reached it yet.
    pub(crate) missed: u32,
}

impl Run {
    /// Waits until the run has ended.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    /// Tells whether an agent of it takes a token of the token store, where that is known.
    pub(crate) fn takes_token(&self) -> Option<bool> {
        let all = self.credentials.as_ref()?;
        Some(all.iter().any(Delivered::is_token))
    }

    /// Tells whether its shim says that it is revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        self.credentials.iter().flatten().any(|one| one.revoked)
    }

    /// When the owner's login expires, where it was given that.
    pub(crate) fn has_login_until(&self) -> Option<Option<Timestamp>> {
        let mut all = self.credentials.iter().flatten();
        let login = all.find(|one| one.source == TokenSource::HostLogin.as_str());
        login.map(|one| one.expires_at)
    }

    /// Tells whether it was given a token from this source.
    pub(crate) fn has_token_from(&self, source: &str) -> bool {
        self.credentials
            .iter()
            .flatten()
            .any(|one| one.source == source)
    }
}

/// A sandbox.
pub(crate) struct Sandbox {
    /// What its file name says.
    pub(crate) name: RecordName,
    /// Its record, or why that cannot be used.
    pub(crate) record: Result<SandboxRecord, String>,
    /// Since when its credentials are revoked, where its record does not say so (yet).
    pub(crate) withdrawn: Option<Timestamp>,
    /// What is under way.
    pub(crate) busy: Option<Operation>,
    /// Its run.
    pub(crate) run: Option<Run>,
    /// Why its last start or run failed.
    pub(crate) failure: Option<Failure>,
    /// The last failure there was, whatever has become of the sandbox since.
    pub(crate) past: Option<PastFailure>,
}

/// A failure of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastFailure {
    pub(crate) at: Timestamp,
    pub(crate) failure: Failure,
}

impl Sandbox {
    /// Takes note of a failure.
    pub(crate) fn fail(&mut self, at: Timestamp, failure: Failure) {
        self.past = Some(PastFailure {
            at,
            failure: failure.clone(),
        });
        self.failure = Some(failure);
    }

    /// Tells whether it may have no credential.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked_at().is_some()
    }

    /// Since when it may have no credential.
    pub(crate) fn revoked_at(&self) -> Option<Timestamp> {
        let record = self.record.as_ref().ok();
        record
            .and_then(|record| record.revoked_at)
            .or(self.withdrawn)
    }

    /// The state people see.
    pub(crate) fn state(&self) -> SandboxState {
        if self.record.is_err() {
            return SandboxState::Unreadable;
        }
        match (self.busy, &self.run) {
            (Some(Operation::Create | Operation::Start), _) => SandboxState::Starting,
            (Some(Operation::Stop), _) => SandboxState::Stopping,
            (Some(Operation::Remove), _) => SandboxState::Removing,
            (_, Some(run)) => match run.state {
                RunState::AwaitingCredentials | RunState::Starting => SandboxState::Starting,
                RunState::Running => SandboxState::Running,
                RunState::Frozen => SandboxState::Frozen,
                RunState::Stopping => SandboxState::Stopping,
            },
            (Some(Operation::Adopt), None) => SandboxState::Starting,
            (None, None) if self.failure.is_some() => SandboxState::Failed,
            (None, None) => SandboxState::Stopped,
        }
    }

    /// Its record, for an operation on it.
    pub(crate) fn readable(&self) -> Result<&SandboxRecord, Failure> {
        self.record.as_ref().map_err(|why| self.unreadable(why))
    }

    /// Tells whether nothing is under way on it, and no run of it is known.
    pub(crate) const fn free(&self) -> bool {
        self.busy.is_none() && self.run.is_none()
    }

    /// Refuses while something is under way.
    pub(crate) fn idle(&self) -> Result<(), Failure> {
        let Some(operation) = self.busy else {
            return Ok(());
        };
        let doing = match operation {
            Operation::Create | Operation::Start => "being started",
            Operation::Stop => "being stopped",
            Operation::Remove => "being removed",
            Operation::Adopt => "being taken over by the daemon",
        };
        let message = format!("sandbox {} is {doing}", self.name.name);
        Err(Failure::new(ErrorKind::Busy, message).hint("wait for that to end, then try again"))
    }

    fn unreadable(&self, why: &str) -> Failure {
        let message = format!(
            "the record of sandbox {} cannot be used: {why}",
            self.name.name
        );
        let path = format!("{}/{}", places::SANDBOXES, self.name.file_name());
        Failure::new(ErrorKind::RecordUnreadable, message).hint(format!(
            "the file is kept as it is: {path}; repair it or move it away, then restart {}",
            forage_api::names::DAEMON_UNIT
        ))
    }

    /// What can be seen of it.
    pub(crate) fn status(&self) -> SandboxStatus {
        let state = self.state();
        let record = self.record.as_ref().ok();
        let failure = match (&self.record, state) {
            (Err(why), _) => Some(self.unreadable(why)),
            (Ok(_), SandboxState::Failed) => self.failure.clone(),
            _ => None,
        };
        let id = self.name.id;
        let repository = record.and_then(|record| record.repository.clone());
        SandboxStatus {
            id,
            name: self.name.name.to_string(),
            owner: self.name.owner,
            template: record.map(|record| record.template.to_string()),
            state,
            workspace: repository.clone().unwrap_or_else(|| places::workspace(id)),
            repository,
            created_at: record.map(|record| record.created_at),
            uid_base: self.name.slot.base(),
            credentials: self
                .run
                .as_ref()
                .and_then(|run| run.credentials.clone())
                .unwrap_or_default(),
            stale: self.run.as_ref().is_some_and(|run| run.missed > 0),
            revoked_at: self.revoked_at(),
            failure,
            detail: None,
        }
    }

    /// What can be seen of it by who asks for it alone. `boot_time_ns` is now.
    pub(crate) fn status_in_full(&self, boot_time_ns: u64, config: &Config) -> SandboxStatus {
        let facts = self.run.as_ref().and_then(|run| run.facts.clone());
        let uptime = facts
            .as_ref()
            .map(|facts| Duration::from_nanos(boot_time_ns.saturating_sub(facts.boot_time_ns)));
        let detail = Detail {
            newer_system: facts
                .as_ref()
                .and_then(|facts| self.newer_system(facts, config)),
            facts,
            uptime,
            past: self.past.clone(),
        };
        SandboxStatus {
            detail: Some(Box::new(detail)),
            ..self.status()
        }
    }

    /// The system its template names by now, where its run was made from another one.
    fn newer_system(&self, facts: &Facts, config: &Config) -> Option<PathBuf> {
        let runs = facts.system.as_ref()?;
        let record = self.record.as_ref().ok()?;
        match &config.templates.get(&record.template)?.base {
            Base::System { system } if system != runs => Some(system.clone()),
            Base::System { .. } | Base::Tree { .. } => None,
        }
    }
}

/// What can be seen of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SandboxStatus {
    pub(crate) id: SandboxId,
    pub(crate) name: String,
    pub(crate) owner: u32,
    pub(crate) template: Option<String>,
    pub(crate) state: SandboxState,
    pub(crate) repository: Option<PathBuf>,
    pub(crate) workspace: PathBuf,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) uid_base: u32,
    pub(crate) credentials: Vec<Delivered>,
    /// Whether a changed token has not reached it yet.
    pub(crate) stale: bool,
    /// Since when its credentials are revoked.
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) failure: Option<Failure>,
    /// What lists leave out.
    pub(crate) detail: Option<Box<Detail>>,
}

/// What can be seen of one sandbox, but not in lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    /// What its run is like.
    pub(crate) facts: Option<Box<Facts>>,
    /// How long it has been running.
    pub(crate) uptime: Option<Duration>,
    /// The system it is made from at its next start, where that is another than it runs.
    pub(crate) newer_system: Option<PathBuf>,
    pub(crate) past: Option<PastFailure>,
}
