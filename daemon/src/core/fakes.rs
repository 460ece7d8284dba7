//! A host in memory for tests: records, tokens, units, shims, users and clocks that do what a test
//! tells them, and a log of what was asked of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use forage_api::config::Config;
use forage_api::ident::SandboxId;
use forage_api::record::{RecordName, SandboxRecord};
use forage_api::shim::control::{Delivered, Event, Hello, RunState, TokenSource, VERSION, Verb};
use forage_api::shim::report::{Outcome, Report};
use forage_api::{ErrorKind, Failure, places};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::link::{Call, Link, Shim};
use super::ports::*;
use super::settings::Settings;
use super::state::{Change, State};
use super::{Core, silent};

/// What starting a unit does.
#[derive(Clone, Default)]
pub(crate) enum Script {
    /// The sandbox runs.
    #[default]
    Run,
    /// The shim refuses after it was given credentials.
    Refuse(Failure),
    /// The sandbox fails while it boots.
    Fail(Failure),
    /// The shim is killed before it has a socket, and leaves no report.
    Die,
    /// systemd does not do it.
    Deny(Failure),
    /// The shim waits for credentials and then for [`FakeHost::release`].
    Hold,
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<SandboxId, SandboxRecord>,
    tokens: HashMap<TokenPlace, StoredToken>,
    units: HashMap<SandboxId, UnitState>,
    shims: HashMap<SandboxId, RunState>,
    links: HashMap<SandboxId, mpsc::UnboundedSender<Event>>,
    delivered: HashMap<SandboxId, Vec<String>>,
    reports: HashMap<SandboxId, Report>,
    jobs: HashMap<SandboxId, oneshot::Sender<JobEnd>>,
    this: Weak<FakeHost>,
    script: Script,
    removal: Option<Outcome>,
    log: Vec<String>,
    /// Which storage operation, counted from now, fails.
    fail_storage: Option<u32>,
    deaf: bool,
}

/// The host.
pub(crate) struct FakeHost {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    boot_time: AtomicU64,
    pub(crate) changes: Mutex<Option<mpsc::Receiver<Change>>>,
    pub(crate) now: Mutex<Timestamp>,
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
        })
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
        let loaded = self.with(|inner| {
            inner
                .records
                .values()
                .map(|record| LoadedRecord {
                    name: record.record_name(),
                    content: Ok(record.clone()),
                })
                .collect()
        });
        self.core_from(loaded, text)
    }

    pub(crate) fn core_from(self: &Arc<Self>, loaded: Vec<LoadedRecord>, text: &str) -> Core {
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
        Core::new(
            ports,
            State::new(loaded, Settings::new(Ok(config(text))), sender),
        )
    }

    pub(crate) fn script(&self, script: Script) {
        self.with(|inner| inner.script = script);
    }

    pub(crate) fn removal(&self, outcome: Option<Outcome>) {
        self.with(|inner| inner.removal = outcome);
    }

    pub(crate) fn fail_storage(&self, at: Option<u32>) {
        self.with(|inner| inner.fail_storage = at);
    }

    /// Makes the shims take nothing in.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.with(|inner| inner.deaf = deaf);
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

    /// Lets a held start go on.
    pub(crate) fn release(&self, id: SandboxId) {
        self.with(|inner| inner.run(id));
    }

    /// Ends a run, as the shim and its clean-up would.
    pub(crate) fn end(&self, id: SandboxId, outcome: Option<Outcome>) {
        let at = self.boot_time_ns();
        self.with(|inner| inner.end(id, outcome, at));
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
                Verb::Credentials { source, .. } => {
                    let token = String::from_utf8(call.raw.expose().to_vec()).unwrap();
                    inner.delivered.entry(id).or_default().push(token);
                    inner.tell(id, Event::Credentials(vec![delivered(*source)]));
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
                Verb::Exec => inner.log.push(format!("shim exec {}", call.fd.is_some())),
            }
            Ok(())
        })
    }
}

impl Inner {
    fn tell(&mut self, id: SandboxId, event: Event) {
        if let Some(link) = self.links.get(&id) {
            let _heard = link.send(event);
        }
    }

    fn run(&mut self, id: SandboxId) {
        self.shims.insert(id, RunState::Running);
        self.units.insert(id, UnitState::Active);
        self.tell(id, Event::Step("booting".into()));
        self.tell(id, Event::State(RunState::Running));
        if let Some(job) = self.jobs.remove(&id) {
            let _waited = job.send(JobEnd::Done);
        }
    }

    fn end(&mut self, id: SandboxId, outcome: Option<Outcome>, at: u64) {
        self.units.remove(&id);
        self.shims.remove(&id);
        self.links.remove(&id);
        if let Some(job) = self.jobs.remove(&id) {
            let _waited = job.send(JobEnd::Failed("failed".into()));
        }
        if let Some(outcome) = outcome {
            let report = Report {
                boot_time_ns: at,
                outcome,
            };
            self.reports.insert(id, report);
        }
    }
}

fn delivered(source: TokenSource) -> Delivered {
    let source = match source {
        TokenSource::None => "none",
        TokenSource::TokenStore => "token-store",
        TokenSource::SharedTokenStore => "shared-token-store",
    };
    Delivered {
        agent: "claude".parse().unwrap(),
        variable: "CLAUDE_CODE_OAUTH_TOKEN".parse().unwrap(),
        file: places::TOKEN_FILE.into(),
        source: source.into(),
        expires_at: None,
        fingerprint: None,
        generation: 1,
        stale: None,
    }
}

#[async_trait]
impl Records for FakeHost {
    async fn load(&self) -> Result<Vec<LoadedRecord>, Failure> {
        Ok(Vec::new())
    }

    async fn write(&self, record: &SandboxRecord) -> Result<(), Failure> {
        self.with(|inner| inner.log.push(format!("write {:?}", record.phase)));
        self.stored()?;
        self.with(|inner| inner.records.insert(record.id, record.clone()));
        Ok(())
    }

    async fn delete(&self, name: &RecordName) -> Result<(), Failure> {
        self.with(|inner| inner.log.push("delete".into()));
        self.stored()?;
        self.with(|inner| inner.records.remove(&name.id));
        Ok(())
    }
}

#[async_trait]
impl TokenFiles for FakeHost {
    async fn read(&self, place: TokenPlace) -> TokenEntry {
        let found = self.with(|inner| inner.tokens.get(&place).cloned());
        found.map_or(TokenEntry::Missing, TokenEntry::Stored)
    }

    async fn write(&self, place: TokenPlace, token: StoredToken) -> Result<(), Failure> {
        self.stored()?;
        self.put_token(place, token);
        Ok(())
    }

    async fn delete(&self, place: TokenPlace) -> Result<bool, Failure> {
        self.stored()?;
        Ok(self.with(|inner| inner.tokens.remove(&place)).is_some())
    }
}

#[async_trait]
impl Units for FakeHost {
    async fn start(&self, unit: Unit) -> Result<Job, Failure> {
        let at = self.boot_time_ns();
        let (sender, receiver) = oneshot::channel();
        self.with(|inner| match unit {
            Unit::Remove(id) => {
                inner.log.push("start remove".into());
                if let Some(outcome) = inner.removal.clone() {
                    let report = Report {
                        boot_time_ns: at,
                        outcome,
                    };
                    inner.reports.insert(id, report);
                }
                sender.send(JobEnd::Done).map_err(|_| silent())
            }
            Unit::Sandbox(id) => {
                inner.log.push("start sandbox".into());
                match inner.script.clone() {
                    Script::Deny(failure) => return Err(failure),
                    Script::Die => {
                        return sender
                            .send(JobEnd::Failed("failed".into()))
                            .map_err(|_| silent());
                    }
                    _ => {}
                }
                inner.jobs.insert(id, sender);
                inner.units.insert(id, UnitState::Activating);
                inner.shims.insert(id, RunState::AwaitingCredentials);
                Ok(())
            }
        })?;
        Ok(Job::new(receiver))
    }

    async fn stop(&self, id: SandboxId) -> Result<Job, Failure> {
        let at = self.boot_time_ns();
        let (sender, receiver) = oneshot::channel();
        self.with(|inner| {
            inner.log.push("stop unit".into());
            inner.end(id, Some(Outcome::Stopped), at);
        });
        sender.send(JobEnd::Done).map_err(|_| silent())?;
        Ok(Job::new(receiver))
    }

    async fn list(&self) -> Result<HashMap<SandboxId, UnitState>, Failure> {
        Ok(self.with(|inner| inner.units.clone()))
    }

    async fn state(&self, id: SandboxId) -> Result<UnitState, Failure> {
        Ok(self.unit(id))
    }

    async fn gone(&self, id: SandboxId, wait: Duration) -> bool {
        let gone = |inner: &mut Inner| (!inner.units.contains_key(&id)).then_some(());
        self.until(wait, gone).await.is_some()
    }
}

#[async_trait]
impl Shims for FakeHost {
    async fn connect(&self, id: SandboxId, wait: Duration) -> Result<Link, Failure> {
        let state = self
            .until(wait, |inner| inner.shims.get(&id).copied())
            .await;
        let state = state.ok_or_else(silent)?;
        let (shim, calls) = Shim::channel();
        let (sender, events) = mpsc::unbounded_channel();
        let this = self.with(|inner| {
            inner.links.insert(id, sender);
            inner.this.upgrade()
        });
        tokio::spawn(this.ok_or_else(silent)?.serve(id, calls));
        let credentials = match state {
            RunState::Running => vec![delivered(TokenSource::TokenStore)],
            _ => Vec::new(),
        };
        Ok(Link {
            hello: Hello {
                version: VERSION,
                id,
                state,
                credentials,
            },
            shim,
            events,
        })
    }

    async fn report(&self, id: SandboxId, since: u64, wait: Duration) -> Option<Report> {
        let newer = |report: &&Report| report.boot_time_ns >= since;
        self.until(wait, |inner| inner.reports.get(&id).filter(newer).cloned())
            .await
    }
}

#[async_trait]
impl Users for FakeHost {
    async fn uid_of(&self, name: &str) -> Result<Option<u32>, Failure> {
        let users = [
            ("root", 0),
            ("alice", 1000),
            ("bob", 1001),
            ("mallory", 1002),
        ];
        Ok(users
            .iter()
            .find(|(user, _)| *user == name)
            .map(|(_, uid)| *uid))
    }

    async fn is_member(&self, uid: u32) -> Result<bool, Failure> {
        Ok(uid == 1000 || uid == 1001)
    }
}

/// The unique name of a caller is its uid behind `:1.`.
#[async_trait]
impl Callers for FakeHost {
    async fn uid(&self, caller: &str) -> Result<u32, Failure> {
        let uid = caller.strip_prefix(":1.").and_then(|uid| uid.parse().ok());
        uid.ok_or_else(|| Failure::new(ErrorKind::AccessDenied, "nobody"))
    }
}

/// Root may everything, others nothing.
#[async_trait]
impl Authority for FakeHost {
    async fn check(
        &self,
        caller: &str,
        _interactive: bool,
        action: &'static str,
    ) -> Result<(), Failure> {
        self.with(|inner| inner.log.push(format!("polkit {caller} {action}")));
        match caller {
            ":1.0" => Ok(()),
            _ => Err(Failure::new(ErrorKind::AccessDenied, "no")),
        }
    }
}

impl Clock for FakeHost {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn boot_time_ns(&self) -> u64 {
        self.boot_time.fetch_add(1, Ordering::Relaxed)
    }
}
