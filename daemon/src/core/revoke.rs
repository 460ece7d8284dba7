//! Revoking: a sandbox's credentials are taken away at once, and it gets none again, at no start
//! either, until its owner asks for them. That is recorded first; what a shim misses is brought to it
//! later.

use forage_api::ident::{self, SandboxId, SandboxName};
use forage_api::record::RecordName;
use forage_api::shim::control::RunState;
use forage_api::{ErrorKind, Failure};
use tokio::task::JoinSet;

use super::auth::{AuthChange, Work, answer, deadline, subject};
use super::hand_over::{Found, Go, How, Posted};
use super::handle::Core;
use super::notice::Notice;
use super::rotation;
use super::sandbox::{Operation, Run};

/// What happens to a running sandbox afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    Freeze,
    Stop,
}

impl Then {
    /// Reads the word for it.
    pub(crate) fn parse(word: Option<&str>) -> Result<Self, Failure> {
        match word {
            None => Ok(Self::Nothing),
            Some("freeze") => Ok(Self::Freeze),
            Some("stop") => Ok(Self::Stop),
            Some(other) => Err(Failure::new(
                ErrorKind::InvalidArgument,
                format!(
                    "then is {}, which is no word for anything",
                    ident::quoted(other)
                ),
            )
            .hint("it is freeze or stop, or left out")),
        }
    }
}

/// A revocation that is under way.
struct Begun {
    work: Work,
    /// What its shim was told; `None` if it does not run.
    posted: Option<Posted>,
}

impl Core {
    /// Takes the credentials of one sandbox away, or of all of an owner's.
    pub(crate) async fn revoke(
        &self,
        owner: u32,
        name: Option<SandboxName>,
        then: Then,
    ) -> Result<AuthChange, Failure> {
        let core = self.clone();
        self.operate(subject("revoke", owner, name.as_ref()), async move {
            let names = core.chosen(owner, name).await?;
            let begun = core.begin_revocations(names, then).await;
            let deadline = deadline();
            let mut stops = JoinSet::new();
            let mut works = Vec::new();
            for Begun { mut work, posted } in begun {
                if let Some(posted) = posted {
                    let readable = posted.readable;
                    core.delivered(&mut work, posted.credentials, deadline)
                        .await;
                    if let Some(frozen) = posted.went {
                        core.was_frozen(&mut work, answer(frozen, deadline).await);
                    }
                    if let (Then::Stop, Some(run)) = (then, posted.run) {
                        let (core, name) = (core.clone(), work.name.clone());
                        stops.spawn(async move { core.stop_revoked(name, run, readable).await });
                    }
                }
                works.push(work);
            }
            for (stopped, id) in stops.join_all().await {
                let work = works.iter_mut().find(|work| work.name.id == id);
                if let (Err(failure), Some(work)) = (stopped, work)
                    && failure.kind != ErrorKind::SandboxNotRunning
                {
                    work.fail(failure);
                }
            }
            let mut change = AuthChange::default();
            for work in works {
                change.sandboxes.extend(core.outcome(work, false).await);
            }
            Ok(change)
        })
        .await
    }

    /// Begins with all of them at once: none waits for another's record.
    async fn begin_revocations(&self, names: Vec<RecordName>, then: Then) -> Vec<Begun> {
        let mut tasks = JoinSet::new();
        for name in names {
            let core = self.clone();
            tasks.spawn(async move { core.begin_revocation(name, then).await });
        }
        let mut begun = tasks.join_all().await;
        begun.sort_by(|one, other| one.work.name.name.cmp(&other.work.name.name));
        begun
    }

    /// Records the revocation and tells the shim, in this order. That needs no turn: from here on
    /// whoever hands something over sees that it is revoked.
    async fn begin_revocation(&self, name: RecordName, then: Then) -> Begun {
        let id = name.id;
        let mut work = self.work_on(name).await;
        let marked = match self.mark_revoked(id, self.ports().clock.now()).await {
            Ok(marked) => marked,
            Err(failure) => {
                work.fail(failure);
                return Begun { work, posted: None };
            }
        };
        let how = How {
            then: (then == Then::Freeze).then_some(Go::Freeze),
            ..How::default()
        };
        let handed = self.post(Found::nothing(), &[id], how).await;
        let posted = match handed.map(|handed| handed.posted.into_iter().next()) {
            Ok(posted) => posted,
            Err(failure) => {
                work.fail(failure);
                None
            }
        };
        work.run = posted.as_ref().and_then(|posted| posted.run.clone());
        if let Some(failure) = marked.unwritten {
            work.fail(not_durable(&work, failure));
        }
        if marked.newly {
            self.tell_revoked(&work);
        }
        if let Some(posted) = &posted
            && let (None, Some(Operation::Create | Operation::Start | Operation::Adopt)) =
                (&posted.run, posted.busy)
            && then != Then::Nothing
        {
            work.fail(starting(&work.name, then));
        }
        let posted = posted.filter(|posted| posted.run.is_some());
        Begun { work, posted }
    }

    async fn stop_revoked(
        &self,
        name: RecordName,
        run: Run,
        readable: bool,
    ) -> (Result<(), Failure>, SandboxId) {
        let id = name.id;
        let stopped = match readable {
            true => self.stop(name.owner, name.name).await,
            // Nothing else can be under way on it.
            false => self.stop_run(&name, run).await,
        };
        (stopped, id)
    }

    fn was_frozen(&self, work: &mut Work, said: Result<(), Failure>) {
        match said {
            Ok(()) => {
                let id = work.name.id;
                self.tell(move |state| {
                    state.update_run(id, |run| {
                        if run.state == RunState::Running {
                            run.state = RunState::Frozen;
                        }
                    });
                });
            }
            Err(failure) => work.fail(Failure {
                message: format!("it is not frozen: {}", failure.message),
                ..failure
            }),
        }
    }

    fn tell_revoked(&self, work: &Work) {
        rotation::note_revoked(&work.name, &work.held);
        let notice = Notice::Revoked {
            owner: work.name.owner,
            name: work.name.name.to_string(),
            held: work.held.clone(),
        };
        self.tell(move |state| state.notify(notice));
    }
}

impl Work {
    /// Takes note of a failure; the first one counts.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }
}

fn not_durable(work: &Work, failure: Failure) -> Failure {
    let now = match work.run {
        Some(_) => "its credentials are taken away",
        None => "it gets none",
    };
    Failure {
        message: format!(
            "{now}, but that will not hold when the daemon is restarted: {}",
            failure.message
        ),
        hint: match failure.kind {
            ErrorKind::RecordUnreadable => failure.hint,
            _ => "see to the disk, then revoke again".into(),
        },
        ..failure
    }
}

fn starting(name: &RecordName, then: Then) -> Failure {
    let (done, option) = match then {
        Then::Stop => ("stopped", "--stop"),
        Then::Freeze | Then::Nothing => ("frozen", "--freeze"),
    };
    let message = format!("it gets no credentials, but it is being started and is not {done}");
    Failure::new(ErrorKind::Busy, message).hint(format!(
        "say it again when it runs: forage-ctl auth revoke {} {option}",
        name.name
    ))
}
