//! What there is on the host in memory, and what happens on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Weak;

use forage_api::config::DeliveryMode;
use forage_api::ident::SandboxId;
use forage_api::provider::Method;
use forage_api::record::SandboxRecord;
use forage_api::shim::control::{Delivered, Event, RunState, TokenSource};
use forage_api::shim::report::{Outcome, Report};
use forage_api::{Failure, places};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::FakeHost;
use crate::core::{JobEnd, StoredToken, TokenPlace, UnitState};

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
pub(super) struct Inner {
    pub(super) records: BTreeMap<SandboxId, SandboxRecord>,
    pub(super) tokens: HashMap<TokenPlace, StoredToken>,
    pub(super) units: HashMap<SandboxId, UnitState>,
    /// What a look at all units shows instead of them; `None` in it is a failure.
    pub(super) seen: Option<Option<HashMap<SandboxId, UnitState>>>,
    pub(super) shims: HashMap<SandboxId, RunState>,
    pub(super) links: HashMap<SandboxId, mpsc::UnboundedSender<Event>>,
    pub(super) delivered: HashMap<SandboxId, Vec<String>>,
    /// What each shim says is delivered.
    pub(super) credentials: HashMap<SandboxId, Vec<Delivered>>,
    pub(super) reports: HashMap<SandboxId, Report>,
    pub(super) jobs: HashMap<SandboxId, oneshot::Sender<JobEnd>>,
    pub(super) this: Weak<FakeHost>,
    pub(super) script: Script,
    pub(super) removal: Option<Outcome>,
    /// Set where nobody hears how a removal ends: the state of its unit.
    pub(super) remover: Option<UnitState>,
    pub(super) lost: Vec<oneshot::Sender<JobEnd>>,
    pub(super) log: Vec<String>,
    /// Which storage operation, counted from now, fails.
    pub(super) fail_storage: Option<u32>,
    pub(super) deaf: bool,
    /// Whether shims are long in being ready to talk.
    pub(super) slow: bool,
    pub(super) unreadable: bool,
    /// Who is no member any more.
    pub(super) left: Vec<u32>,
    /// After how many look-ups of users all fail.
    pub(super) fail_users: Option<u32>,
    /// What the disk does not come to.
    pub(super) hung: Hung,
    /// How many wait for the disk.
    pub(super) waiting: usize,
}

/// What the disk does not come to for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hung {
    #[default]
    Nothing,
    /// Reading an owner's entry of the token store.
    Tokens(TokenPlace),
    /// Writing an owner's entry of the token store.
    TokenWrites(TokenPlace),
    /// Writing records.
    Records,
}

impl Inner {
    pub(super) fn tell(&mut self, id: SandboxId, event: Event) {
        if let Some(link) = self.links.get(&id) {
            let _heard = link.send(event);
        }
    }

    /// What a shim does with new credentials: as the real one, nothing where nothing changes.
    pub(super) fn give(
        &mut self,
        id: SandboxId,
        source: TokenSource,
        expires_at: Option<Timestamp>,
        token: &str,
        (revoked, refresh): (bool, bool),
    ) {
        let planned = planned(self.records.get(&id));
        let all = self.credentials.entry(id).or_insert(planned);
        let before = all.clone();
        for one in all.iter_mut() {
            let kept = source == TokenSource::HostLogin && token.is_empty();
            if kept && one.source == TokenSource::HostLogin.as_str() {
                continue;
            }
            let none = token.is_empty();
            let source = if none { TokenSource::None } else { source };
            one.source = source.as_str().into();
            one.expires_at = expires_at.filter(|_| !none);
            one.fingerprint = (!none).then(|| format!("fp {token}"));
            // The record it read at its start holds until it is told otherwise in so many words.
            one.revoked = revoked || (one.generation == 0 && one.revoked && !refresh);
            if one.revoked {
                one.source = TokenSource::None.as_str().into();
                one.fingerprint = None;
            }
        }
        if *all == before && before.iter().all(|one| one.generation > 0) {
            return;
        }
        all.iter_mut().for_each(|one| one.generation += 1);
        let all = all.clone();
        self.tell(id, Event::Credentials(all));
    }

    /// Freezes a sandbox, or lets it go on.
    pub(super) fn go(&mut self, id: SandboxId, state: RunState) {
        self.shims.insert(id, state);
        self.tell(id, Event::State(state));
    }

    pub(super) fn run(&mut self, id: SandboxId) {
        self.shims.insert(id, RunState::Running);
        self.units.insert(id, UnitState::Active);
        self.tell(id, Event::Step("booting".into()));
        self.tell(id, Event::State(RunState::Running));
        if let Some(job) = self.jobs.remove(&id) {
            let _waited = job.send(JobEnd::Done);
        }
    }

    pub(super) fn end(&mut self, id: SandboxId, outcome: Option<Outcome>, at: u64) {
        self.units.remove(&id);
        self.shims.remove(&id);
        self.credentials.remove(&id);
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

/// What a shim that runs the template plans, and has not written.
pub(super) fn planned(record: Option<&SandboxRecord>) -> Vec<Delivered> {
    if record.is_some_and(|record| record.template.as_str() == "plain") {
        return Vec::new();
    }
    vec![Delivered {
        agent: "claude".parse().unwrap(),
        method: Method::OauthToken,
        delivery: DeliveryMode::Env,
        variable: "CLAUDE_CODE_OAUTH_TOKEN".parse().ok(),
        file: places::TOKEN_FILE.into(),
        source: TokenSource::None.as_str().into(),
        expires_at: None,
        fingerprint: None,
        generation: 0,
        stale: None,
        revoked: record.is_some_and(|record| record.revoked_at.is_some()),
    }]
}
