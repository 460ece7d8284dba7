//! Everything the core knows. One task owns it (see [`core`](super)); each method is one step that
//! leaves it consistent.

use std::collections::{BTreeMap, HashSet};

use forage_api::bus::SandboxState;
use forage_api::config::Template;
use forage_api::ident::{SandboxId, SandboxName, Slot, TemplateName};
use forage_api::record::{Phase, RecordName, SandboxRecord, VERSION};
use forage_api::shim::control::{Delivered, RunState};
use forage_api::{ErrorKind, Failure};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::deadlines::Deadlines;
use super::host_login::Logins;
use super::notice::{Change, Notice};
use super::ports::LoadedRecord;
use super::rotation;
use super::sandbox::{Operation, Run, Sandbox, SandboxStatus};
use super::settings::Settings;

/// What somebody wants created.
#[derive(Debug, Clone)]
pub(crate) struct SandboxSpec {
    pub(crate) owner: u32,
    pub(crate) name: SandboxName,
    pub(crate) template: TemplateName,
    pub(crate) repository: Option<std::path::PathBuf>,
}

/// What an operation begins with.
pub(crate) struct Begun {
    pub(crate) record: SandboxRecord,
    pub(crate) run: Option<Run>,
}

/// Everything the core knows.
pub(crate) struct State {
    sandboxes: BTreeMap<SandboxId, Sandbox>,
    /// The configuration in force.
    pub(crate) settings: Settings,
    /// The logins of the owners on this host.
    pub(crate) logins: Logins,
    /// When what is delivered expires, and what was told of that.
    pub(super) deadlines: Deadlines,
    notices: mpsc::Sender<Notice>,
}

impl State {
    /// Begins with what was loaded. What subscribers are told is sent to `notices`.
    pub(crate) fn new(
        loaded: Vec<LoadedRecord>,
        settings: Settings,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let sandbox = |loaded: LoadedRecord| Sandbox {
            name: loaded.name,
            record: loaded.content,
            withdrawn: None,
            busy: None,
            run: None,
            failure: None,
            past: None,
        };
        Self {
            sandboxes: loaded
                .into_iter()
                .map(|loaded| (loaded.name.id, sandbox(loaded)))
                .collect(),
            settings,
            logins: Logins::default(),
            deadlines: Deadlines::default(),
            notices,
        }
    }

    /// Every sandbox.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Sandbox> {
        self.sandboxes.values()
    }

    /// One sandbox by its id.
    pub(crate) fn by_id(&self, id: SandboxId) -> Option<&Sandbox> {
        self.sandboxes.get(&id)
    }

    /// One sandbox of an owner. Another user's sandbox and no sandbox give the same answer.
    pub(crate) fn find(&self, owner: u32, name: &SandboxName) -> Result<&Sandbox, Failure> {
        let wanted = |one: &&Sandbox| one.name.owner == owner && one.name.name == *name;
        self.all().find(wanted).ok_or_else(|| {
            Failure::new(
                ErrorKind::NoSuchSandbox,
                format!("there is no sandbox {name}"),
            )
            .hint("forage-ctl ps lists your sandboxes")
        })
    }

    /// What can be seen of the sandboxes of one owner, or of all.
    pub(crate) fn list(&self, owner: Option<u32>) -> Vec<SandboxStatus> {
        self.all()
            .filter(|one| owner.is_none_or(|owner| one.name.owner == owner))
            .map(Sandbox::status)
            .collect()
    }

    /// How many there are, and how many of them run.
    pub(crate) fn numbers(&self) -> (usize, usize) {
        let running =
            |one: &&Sandbox| matches!(one.state(), SandboxState::Running | SandboxState::Frozen);
        (self.all().count(), self.all().filter(running).count())
    }

    /// Reserves id, name and slot for a new sandbox and begins its creation.
    pub(crate) fn begin_create(
        &mut self,
        spec: SandboxSpec,
        now: Timestamp,
        random: impl FnMut() -> u32,
    ) -> Result<SandboxRecord, Failure> {
        self.settings.template(&spec.template)?;
        if self.find(spec.owner, &spec.name).is_ok() {
            let message = format!("there is a sandbox {} already", spec.name);
            return Err(Failure::new(ErrorKind::SandboxExists, message)
                .hint("choose another name, or start the one there is: forage-ctl start"));
        }
        self.quota(spec.owner)?;
        let record = SandboxRecord {
            version: VERSION,
            id: self.free_id(random)?,
            owner: spec.owner,
            slot: self.free_slot()?,
            name: spec.name,
            template: spec.template,
            repository: spec.repository,
            created_at: now,
            phase: Phase::Creating,
            delete_workspace: false,
            revoked_at: None,
        };
        let sandbox = Sandbox {
            name: record.record_name(),
            record: Ok(record.clone()),
            withdrawn: None,
            busy: Some(Operation::Create),
            run: None,
            failure: None,
            past: None,
        };
        self.sandboxes.insert(record.id, sandbox);
        self.tell(record.id);
        Ok(record)
    }

    /// Begins an operation on a sandbox there is.
    pub(crate) fn begin(
        &mut self,
        owner: u32,
        name: &SandboxName,
        operation: Operation,
    ) -> Result<Begun, Failure> {
        let sandbox = self.find(owner, name)?;
        let record = sandbox.readable()?.clone();
        sandbox.idle()?;
        match (operation, &sandbox.run) {
            (Operation::Start, Some(run)) => return Err(running(name, run.state)),
            (Operation::Stop, None) => return Err(not_running(name)),
            _ => {}
        }
        if operation == Operation::Start {
            self.settings.template(&record.template)?;
        }
        let run = sandbox.run.clone();
        self.update(record.id, |sandbox| sandbox.busy = Some(operation));
        Ok(Begun { record, run })
    }

    /// Changes one sandbox, and tells if that changed what people see of it.
    pub(crate) fn update(&mut self, id: SandboxId, change: impl FnOnce(&mut Sandbox)) {
        let Some(sandbox) = self.sandboxes.get_mut(&id) else {
            return;
        };
        let before = sandbox.status();
        let ran = sandbox.run.is_some();
        change(sandbox);
        let runs = sandbox.run.is_some();
        if sandbox.status() != before {
            self.tell(id);
        }
        if ran != runs {
            self.deadlines.changed();
        }
    }

    /// Changes a sandbox's run, if it has one.
    pub(crate) fn update_run(&mut self, id: SandboxId, change: impl FnOnce(&mut Run)) {
        self.update(id, |sandbox| {
            if let Some(run) = &mut sandbox.run {
                change(run);
            }
        });
    }

    /// Takes note of what a run's agents are given, and tells what of it is new.
    pub(crate) fn credentials(&mut self, name: &RecordName, all: Vec<Delivered>) {
        let mut notices = Vec::new();
        self.update_run(name.id, |run| {
            // What was given while nobody could tell is no news.
            if run.credentials.is_some() {
                notices = rotation::changes(name, run.credentials.as_deref(), &all);
            }
            run.credentials = Some(all);
        });
        notices.into_iter().for_each(|notice| self.notify(notice));
        self.deadlines.changed();
    }

    /// Tells whether a token concerns a sandbox: it runs, and an agent of it takes one, or may, as far
    /// as its template says. Of what is not known the worse is assumed.
    pub(crate) fn takes_token(&self, sandbox: &Sandbox) -> bool {
        let may = || self.template_says(sandbox, Template::uses_token);
        let run = sandbox.run.as_ref();
        run.is_some_and(|run| run.takes_token().unwrap_or_else(may))
    }

    /// Tells whether a revocation concerns a sandbox: it runs, and an agent of it is given something,
    /// or may be.
    pub(crate) fn takes_any(&self, sandbox: &Sandbox) -> bool {
        let may = || self.template_says(sandbox, |one| one.credentials().next().is_some());
        let takes = |run: &Run| run.credentials.as_ref().map(|all| !all.is_empty());
        let run = sandbox.run.as_ref();
        run.is_some_and(|run| takes(run).unwrap_or_else(may))
    }

    fn template_says(&self, sandbox: &Sandbox, question: impl FnOnce(&Template) -> bool) -> bool {
        let config = self.settings.config();
        let template = sandbox.record.as_ref().ok();
        template
            .and_then(|record| config.templates.get(&record.template))
            .is_none_or(question)
    }

    /// Forgets a sandbox: its id, name and slot are free again.
    pub(crate) fn forget(&mut self, id: SandboxId) {
        if let Some(sandbox) = self.sandboxes.remove(&id) {
            self.notify(Notice::Sandbox(Change {
                owner: sandbox.name.owner,
                name: sandbox.name.name.to_string(),
                state: None,
            }));
        }
    }

    fn tell(&self, id: SandboxId) {
        if let Some(sandbox) = self.sandboxes.get(&id) {
            self.notify(Notice::Sandbox(Change {
                owner: sandbox.name.owner,
                name: sandbox.name.name.to_string(),
                state: Some(sandbox.state()),
            }));
        }
    }

    /// Tells subscribers. Nobody waits for a slow listener: what does not fit is left out.
    pub(crate) fn notify(&self, notice: Notice) {
        let _told = self.notices.try_send(notice);
    }

    fn quota(&self, owner: u32) -> Result<(), Failure> {
        let most = self.settings.config().max_sandboxes_per_user;
        let has = self.all().filter(|one| one.name.owner == owner).count();
        if u32::try_from(has).is_ok_and(|has| has < most) {
            return Ok(());
        }
        let message = format!("you have {has} sandboxes, and {most} is the most");
        Err(Failure::new(ErrorKind::LimitReached, message)
            .hint("remove one with forage-ctl down, or have maxSandboxesPerUser raised"))
    }

    fn free_id(&self, mut random: impl FnMut() -> u32) -> Result<SandboxId, Failure> {
        (0..64)
            .map(|_| SandboxId::new(random()))
            .find(|id| !self.sandboxes.contains_key(id))
            .ok_or_else(|| Failure::new(ErrorKind::Internal, "found no free sandbox id"))
    }

    fn free_slot(&self) -> Result<Slot, Failure> {
        let taken: HashSet<Slot> = self.all().map(|one: &Sandbox| one.name.slot).collect();
        Slot::all()
            .find(|slot| !taken.contains(slot))
            .ok_or_else(|| {
                let message = format!("all {} ranges of uids are taken", Slot::COUNT);
                Failure::new(ErrorKind::LimitReached, message).hint("remove a sandbox")
            })
    }
}

/// The failure of a call that needs a sandbox that does not run.
fn running(name: &SandboxName, state: RunState) -> Failure {
    let (how, hint) = match state {
        RunState::Frozen => (
            ", and frozen",
            format!("forage-ctl auth refresh {name} lets it go on, with credentials"),
        ),
        _ => ("", format!("forage-ctl shell {name} enters it")),
    };
    let message = format!("sandbox {name} is running already{how}");
    Failure::new(ErrorKind::SandboxRunning, message).hint(hint)
}

/// The failure of a call that needs a running sandbox.
pub(crate) fn not_running(name: &SandboxName) -> Failure {
    Failure::new(
        ErrorKind::SandboxNotRunning,
        format!("sandbox {name} is not running"),
    )
    .hint(format!("start it with: forage-ctl start {name}"))
}
