//! A host in memory for tests: records, tokens, units, shims, users and clocks that do what a test
//! tells them, and a log of what was asked of them.

mod ports;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forage_api::config::Config;
use forage_api::ident::SandboxId;
use forage_api::record::SandboxRecord;
use forage_api::shim::control::{RunState, Verb};
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};

use super::Core;
use super::link::Call;
use super::notice::Notice;
use super::ports::*;
use super::settings::Settings;
use super::state::State;
use world::Inner;
pub(crate) use world::{Hung, Script};

/// The host.
pub(crate) struct FakeHost {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    boot_time: AtomicU64,
    pub(crate) changes: Mutex<Option<mpsc::Receiver<Notice>>>,
    pub(crate) now: Mutex<Timestamp>,
    clock_set: AtomicBool,
}

pub(crate) const CONFIG: &str = r#"
user = "alice"
maxSandboxesPerUser = 3
[templates.claude]
root = "/srv/claude"
[templates.claude.agents.claude]
command = "/usr/bin/claude"
[templates.plain]
root = "/srv/plain"
"#;

/// Reads a configuration from its text.
pub(crate) fn config(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    forage_api::config::parse(file.path()).unwrap()
}

impl FakeHost {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            inner: Mutex::new(Inner {
                this: this.clone(),
                ..Inner::default()
            }),
            changed: watch::Sender::new(0),
            boot_time: AtomicU64::new(1),
            changes: Mutex::default(),
            now: Mutex::new("2026-06-01T12:00:00Z".parse().unwrap()),
            clock_set: AtomicBool::new(false),
        })
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: SignedDuration) {
        self.with(|_| *self.now.lock().unwrap() += time);
    }

    /// Sets the clock.
    pub(crate) fn set_clock(&self, by: SignedDuration) {
        self.clock_set.store(true, Ordering::Relaxed);
        self.pass(by);
    }

    fn with<T>(&self, step: impl FnOnce(&mut Inner) -> T) -> T {
        let result = step(&mut self.inner.lock().unwrap());
        self.changed.send_modify(|number| *number += 1);
        result
    }

    /// A core on this host that knows the records there are.
    pub(crate) fn core(self: &Arc<Self>) -> Core {
        self.core_with(CONFIG)
    }

    pub(crate) fn core_with(self: &Arc<Self>, text: &str) -> Core {
        self.core_from(self.loaded(), text)
    }

    /// A core that found a bad configuration when it began.
    pub(crate) fn core_without_config(self: &Arc<Self>) -> Core {
        self.core_of(self.loaded(), Settings::new(Err("line 3: bad".into())))
    }

    fn loaded(&self) -> Vec<LoadedRecord> {
        self.with(|inner| {
            inner
                .records
                .values()
                .map(|record| LoadedRecord {
                    name: record.record_name(),
                    content: Ok(record.clone()),
                })
                .collect()
        })
    }

    pub(crate) fn core_from(self: &Arc<Self>, loaded: Vec<LoadedRecord>, text: &str) -> Core {
        self.core_of(loaded, Settings::new(Ok(config(text))))
    }

    fn core_of(self: &Arc<Self>, loaded: Vec<LoadedRecord>, settings: Settings) -> Core {
        let ports = Ports {
            records: self.clone(),
            tokens: self.clone(),
            units: self.clone(),
            shims: self.clone(),
            users: self.clone(),
            clock: self.clone(),
        };
        let (sender, receiver) = mpsc::channel(1024);
        *self.changes.lock().unwrap() = Some(receiver);
        Core::new(ports, State::new(loaded, settings, sender))
    }

    pub(crate) fn script(&self, script: Script) {
        self.with(|inner| inner.script = script);
    }

    pub(crate) fn removal(&self, outcome: Option<Outcome>) {
        self.with(|inner| inner.removal = outcome);
    }

    /// Lets nobody hear how a removal ends, and sets what its unit is.
    pub(crate) fn removal_unheard(&self, state: UnitState) {
        self.with(|inner| inner.remover = Some(state));
    }

    pub(crate) fn fail_storage(&self, at: Option<u32>) {
        self.with(|inner| inner.fail_storage = at);
    }

    /// Makes the shims take nothing in.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.with(|inner| inner.deaf = deaf);
    }

    /// Makes shims that have read their records wait before they talk.
    pub(crate) fn slow(&self, slow: bool) {
        self.with(|inner| inner.slow = slow);
    }

    /// Makes the token store fail to be read.
    pub(crate) fn unreadable(&self, unreadable: bool) {
        self.with(|inner| inner.unreadable = unreadable);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.with(|inner| std::mem::take(&mut inner.log))
    }

    pub(crate) fn records(&self) -> Vec<SandboxRecord> {
        self.with(|inner| inner.records.values().cloned().collect())
    }

    pub(crate) fn put_record(&self, record: SandboxRecord) {
        self.with(|inner| inner.records.insert(record.id, record));
    }

    pub(crate) fn put_unit(&self, id: SandboxId, unit: UnitState, shim: Option<RunState>) {
        self.with(|inner| {
            inner.units.insert(id, unit);
            inner.shims.extend(shim.map(|state| (id, state)));
        });
    }

    /// Has a look at all units fail, or show none.
    pub(crate) fn blind(&self, fails: bool) {
        self.with(|inner| inner.seen = Some((!fails).then(Default::default)));
    }

    pub(crate) fn unit(&self, id: SandboxId) -> UnitState {
        self.with(|inner| inner.units.get(&id).copied().unwrap_or(UnitState::Gone))
    }

    pub(crate) fn put_token(&self, place: TokenPlace, token: StoredToken) {
        self.with(|inner| inner.tokens.insert(place, token));
    }

    /// The tokens a sandbox was given, oldest first.
    pub(crate) fn delivered(&self, id: SandboxId) -> Vec<String> {
        self.with(|inner| inner.delivered.get(&id).cloned().unwrap_or_default())
    }

    /// How far a sandbox's shim is, if there is one.
    pub(crate) fn shim(&self, id: SandboxId) -> Option<&'static str> {
        let state = self.with(|inner| inner.shims.get(&id).copied());
        state.map(|state| match state {
            RunState::Frozen => "frozen",
            RunState::Running => "running",
            _ => "other",
        })
    }

    /// Ends the conversation with a shim, and lets no other begin.
    pub(crate) fn break_off(&self, id: SandboxId) {
        self.with(|inner| {
            inner.slow = true;
            inner.links.remove(&id);
        });
    }

    /// Lets a held start go on.
    pub(crate) fn release(&self, id: SandboxId) {
        self.with(|inner| inner.run(id));
    }

    /// Ends a run, as the shim and its clean-up would.
    pub(crate) fn end(&self, id: SandboxId, outcome: Option<Outcome>) {
        let at = self.boot_time_ns();
        self.with(|inner| inner.end(id, outcome, at));
    }

    /// Makes all look-ups of users fail after so many.
    pub(crate) fn fail_users(&self, after: Option<u32>) {
        self.with(|inner| inner.fail_users = after);
    }

    /// Takes a user out of the group.
    pub(crate) fn leave(&self, uid: u32) {
        self.with(|inner| inner.left.push(uid));
    }

    /// Makes the disk hang with something, or go on.
    pub(crate) fn hang(&self, what: Hung) {
        self.with(|inner| inner.hung = what);
    }

    /// Waits until so many wait for the disk that hangs.
    pub(crate) async fn until_hung(&self, number: usize) {
        let wait = Duration::from_secs(3600);
        let reached = |inner: &mut Inner| (inner.waiting >= number).then_some(());
        self.until(wait, reached).await.unwrap();
    }

    /// Waits for as long as the disk hangs with this. Who gives up waits no more.
    async fn disk(&self, what: Hung) {
        struct Waiting<'a>(&'a FakeHost);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.with(|inner| inner.waiting -= 1);
            }
        }
        if !self.with(|inner| inner.hung == what) {
            return;
        }
        self.with(|inner| inner.waiting += 1);
        let _waiting = Waiting(self);
        let wait = Duration::from_secs(365 * 24 * 3600);
        let goes_on = |inner: &mut Inner| (inner.hung != what).then_some(());
        self.until(wait, goes_on).await.unwrap();
    }

    fn stored(&self) -> Result<(), Failure> {
        let fails = self.with(|inner| match &mut inner.fail_storage {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        });
        if fails {
            return Err(Failure::new(
                ErrorKind::StorageFailed,
                "no space left on device",
            ));
        }
        Ok(())
    }

    async fn until<T>(
        &self,
        wait: Duration,
        mut look: impl FnMut(&mut Inner) -> Option<T>,
    ) -> Option<T> {
        let mut changed = self.changed.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            changed.mark_unchanged();
            if let Some(found) = look(&mut self.inner.lock().unwrap()) {
                return Some(found);
            }
            tokio::time::timeout_at(deadline, changed.changed())
                .await
                .ok()?
                .ok()?;
        }
    }

    async fn serve(self: Arc<Self>, id: SandboxId, mut calls: mpsc::Receiver<Call>) {
        while let Some(call) = calls.recv().await {
            // As over a socket: who asks has gone on meanwhile.
            tokio::task::yield_now().await;
            if self.with(|inner| inner.deaf) {
                continue;
            }
            let answer = self.answer(id, &call);
            let _asked = call.reply.send(answer);
        }
    }

    fn answer(&self, id: SandboxId, call: &Call) -> Result<(), Failure> {
        let at = self.boot_time_ns();
        self.with(|inner| {
            match &call.verb {
                Verb::Credentials {
                    source,
                    expires_at,
                    revoked,
                    refresh,
                } => {
                    let token = String::from_utf8(call.raw.expose().to_vec()).unwrap();
                    inner.give(id, *source, *expires_at, &token, (*revoked, *refresh));
                    if *revoked || *refresh {
                        let word = if *revoked { "revoked" } else { "refreshed" };
                        inner.log.push(format!("shim {word} {token}"));
                    }
                    inner.delivered.entry(id).or_default().push(token);
                    let first = inner.shims.get(&id) == Some(&RunState::AwaitingCredentials);
                    match inner.script.clone() {
                        _ if !first => {}
                        Script::Run => inner.run(id),
                        Script::Refuse(why) => inner.end(id, Some(Outcome::Refused(why)), at),
                        Script::Fail(why) => inner.end(id, Some(Outcome::Failed(why)), at),
                        _ => {
                            inner.shims.insert(id, RunState::Starting);
                        }
                    }
                }
                Verb::Stop => {
                    inner.log.push(format!("shim stop {id}"));
                    inner.end(id, Some(Outcome::Stopped), at);
                }
                Verb::Freeze => inner.go(id, RunState::Frozen),
                Verb::Thaw => inner.go(id, RunState::Running),
                Verb::Exec => inner.log.push(format!("shim exec {}", call.fd.is_some())),
            }
            Ok(())
        })
    }
}
