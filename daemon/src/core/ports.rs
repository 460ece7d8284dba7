//! What the core needs from the outside, as traits. The adapters in `auth`, `store` and `runtime`
//! implement them; the tests implement them in memory.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use forage_api::ident::SandboxId;
use forage_api::record::{RecordName, SandboxRecord};
use forage_api::shim::report::Report;
use forage_api::{Failure, Secret};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::link::Link;

/// Everything the core needs from the outside.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) records: Arc<dyn Records>,
    pub(crate) tokens: Arc<dyn TokenFiles>,
    pub(crate) units: Arc<dyn Units>,
    pub(crate) shims: Arc<dyn Shims>,
    pub(crate) users: Arc<dyn Users>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The records on disk.
#[async_trait]
pub(crate) trait Records: Send + Sync {
    /// Reads every record there is.
    async fn load(&self) -> Result<Vec<LoadedRecord>, Failure>;
    /// Writes a record durably, or leaves what was there.
    async fn write(&self, record: &SandboxRecord) -> Result<(), Failure>;
    /// Deletes a record durably. That it is not there is no failure.
    async fn delete(&self, name: &RecordName) -> Result<(), Failure>;
}

/// A record as it was found.
#[derive(Debug, Clone)]
pub(crate) struct LoadedRecord {
    /// What its file name says.
    pub(crate) name: RecordName,
    /// What it holds, or why it cannot be used.
    pub(crate) content: Result<SandboxRecord, String>,
}

/// The token store on disk.
#[async_trait]
pub(crate) trait TokenFiles: Send + Sync {
    /// Reads an entry. What is wrong with it is an answer; that it cannot be read now is a failure,
    /// and says nothing about it.
    async fn read(&self, place: TokenPlace) -> Result<TokenEntry, Failure>;
    /// Writes an entry durably, or leaves what was there.
    async fn write(&self, place: TokenPlace, token: StoredToken) -> Result<(), Failure>;
    /// Deletes an entry durably; tells whether there was one.
    async fn delete(&self, place: TokenPlace) -> Result<bool, Failure>;
}

/// Where an entry of the token store lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TokenPlace {
    /// The configured user's, `tokens/claude-oauth.json`.
    User,
    /// Another member's, `tokens/<uid>/claude-oauth.json`.
    Member(u32),
}

/// An entry of the token store.
#[derive(Clone)]
pub(crate) enum TokenEntry {
    /// There is none.
    Missing,
    /// There is one that cannot be used; it is kept as it is.
    Damaged(String),
    /// There is one.
    Stored(StoredToken),
}

/// A stored token.
#[derive(Clone)]
pub(crate) struct StoredToken {
    /// The token.
    pub(crate) token: Secret,
    /// When it was stored.
    pub(crate) created_at: Timestamp,
    /// When it expires.
    pub(crate) expires_at: Timestamp,
    /// Whose it is; `None` in the form other programs write.
    pub(crate) uid: Option<u32>,
}

/// The units of systemd.
#[async_trait]
pub(crate) trait Units: Send + Sync {
    /// Has a unit started. Answers when the job is queued.
    async fn start(&self, unit: Unit) -> Result<Job, Failure>;
    /// Has a sandbox's unit stopped. Answers when the job is queued.
    async fn stop(&self, id: SandboxId) -> Result<Job, Failure>;
    /// The sandbox units that are loaded.
    async fn list(&self) -> Result<HashMap<SandboxId, UnitState>, Failure>;
    /// The state of one unit. One that removes is not gone while its job waits.
    async fn state(&self, unit: Unit) -> Result<UnitState, Failure>;
    /// Waits until a sandbox's unit is gone; tells whether it is.
    async fn gone(&self, id: SandboxId, wait: Duration) -> bool;
}

/// A unit the daemon may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The one that runs a sandbox.
    Sandbox(SandboxId),
    /// The one that removes what root owns of a sandbox.
    Remove(SandboxId),
}

/// The state of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitState {
    /// Not loaded, inactive or failed.
    Gone,
    /// Being started.
    Activating,
    /// Started.
    Active,
    /// Being stopped.
    Deactivating,
}

/// How a job of systemd ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobEnd {
    /// As asked.
    Done,
    /// Otherwise; systemd's word for it.
    Failed(String),
}

/// A queued job of systemd.
#[derive(Debug)]
pub(crate) struct Job {
    end: oneshot::Receiver<JobEnd>,
    seen: Option<JobEnd>,
}

impl Job {
    /// Makes a job whose end will come through `end`.
    pub(crate) fn new(end: oneshot::Receiver<JobEnd>) -> Self {
        Self { end, seen: None }
    }

    /// Waits for the end; may be asked again.
    pub(crate) async fn end(&mut self) -> JobEnd {
        if self.seen.is_none() {
            let lost = || JobEnd::Failed("lost".into());
            self.seen = Some((&mut self.end).await.unwrap_or_else(|_| lost()));
        }
        self.seen.clone().unwrap_or(JobEnd::Done)
    }
}

/// The shims of the sandboxes.
#[async_trait]
pub(crate) trait Shims: Send + Sync {
    /// Connects to a sandbox's shim, waiting for its socket at most `wait`.
    async fn connect(&self, id: SandboxId, wait: Duration) -> Result<Link, Failure>;
    /// Reads the report about a sandbox that is newer than `since` (nanoseconds of boot time),
    /// waiting for it at most `wait`.
    async fn report(&self, id: SandboxId, since: u64, wait: Duration) -> Option<Report>;
    /// Opens what is kept of the logs of a sandbox's runs, the oldest first.
    async fn log(&self, id: SandboxId) -> Result<Vec<OwnedFd>, Failure>;
}

/// The users of the host.
#[async_trait]
pub(crate) trait Users: Send + Sync {
    /// The uid of a user; `None` if there is no such user.
    async fn uid_of(&self, name: &str) -> Result<Option<u32>, Failure>;
    /// Tells whether a user is a member of the group that may use the daemon.
    async fn is_member(&self, uid: u32) -> Result<bool, Failure>;
}

/// Who vouches for the callers.
#[async_trait]
pub(crate) trait Callers: Send + Sync {
    /// The uid behind the connection of this unique name.
    async fn uid(&self, caller: &str) -> Result<u32, Failure>;
}

/// Somebody to ask whether a caller may act for others.
#[async_trait]
pub(crate) trait Authority: Send + Sync {
    /// Answers `Ok` only if the connection of this unique name may. `interactive` tells whether
    /// the person behind it may be asked for a password.
    async fn check(
        &self,
        caller: &str,
        interactive: bool,
        action: &'static str,
    ) -> Result<(), Failure>;
}

/// Why a wait for a point in time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// It has come.
    Due,
    /// Somebody set the wall clock, or the machine was asleep.
    ClockSet,
}

/// The time.
#[async_trait]
pub(crate) trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Nanoseconds since boot, suspend included.
    fn boot_time_ns(&self) -> u64;
    /// Waits for a point of the wall clock, for as long as it takes that clock to get there; `None`
    /// is never. That the clock was set since the last wait ends it too. One waits at a time.
    async fn until(&self, at: Option<Timestamp>) -> Woken;
}
