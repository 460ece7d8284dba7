//! Revoking: a sandbox's credentials are taken away at once, and it gets none again, at no start
//! either, until its owner asks for them. That is recorded first; what a shim misses is brought to it
//! later.

use forage_api::ident::{self, SandboxName};
use forage_api::record::RecordName;
use forage_api::shim::control::{RunState, Verb};
use forage_api::{ErrorKind, Failure, Secret};
use tokio::task::JoinSet;

use super::auth::{AuthChange, Work, deadline, left, subject};
use super::handle::Core;
use super::link::{Reply, silent};
use super::notice::Notice;
use super::rotation;

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
    /// What its shim was told; `None` where it does not run.
    taken: Option<Result<Reply, Failure>>,
    frozen: Option<Result<Reply, Failure>>,
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
            let mut begun = Vec::new();
            for name in core.chosen(owner, name).await? {
                begun.push(core.begin_revocation(name, then).await?);
            }
            let deadline = deadline();
            let mut stops = JoinSet::new();
            let mut change = AuthChange::default();
            let mut works = Vec::new();
            for Begun {
                mut work,
                taken,
                frozen,
            } in begun
            {
                if let Some(reply) = taken {
                    core.delivered(&mut work, reply, deadline).await;
                }
                if let Some(reply) = frozen {
                    let said = match reply {
                        Ok(reply) => reply.within(left(deadline)).await,
                        Err(failure) => Err(failure),
                    };
                    core.was_frozen(&mut work, said);
                }
                if then == Then::Stop && work.run.is_some() {
                    let (core, name) = (core.clone(), work.name.name.clone());
                    stops.spawn(async move { (core.stop(owner, name.clone()).await, name) });
                }
                works.push(work);
            }
            for (stopped, name) in stops.join_all().await {
                let work = works.iter_mut().find(|work| work.name.name == name);
                if let (Err(failure), Some(work)) = (stopped, work)
                    && failure.kind != ErrorKind::SandboxNotRunning
                {
                    work.fail(failure);
                }
            }
            for work in works {
                change.sandboxes.extend(core.outcome(work, false).await);
            }
            Ok(change)
        })
        .await
    }

    /// Records the revocation and tells the shim, in this order.
    async fn begin_revocation(&self, name: RecordName, then: Then) -> Result<Begun, Failure> {
        let id = name.id;
        let marked = self.mark_revoked(id, self.ports().clock.now()).await;
        let mut work = self.work_on(name).await?;
        match marked {
            Ok(marked) => {
                if let Some(failure) = marked.unwritten {
                    work.fail(not_durable(&work, failure));
                }
                if marked.newly {
                    self.tell_revoked(&work);
                }
            }
            Err(failure) => {
                work.fail(failure);
                return Ok(Begun {
                    work,
                    taken: None,
                    frozen: None,
                });
            }
        }
        let order = self.token_order().await;
        let handed = self
            .hand_over(&order, work.name.owner, &[id], false)
            .await?;
        let freeze = then == Then::Freeze;
        let run = self
            .ask(move |state| Ok(state.by_id(id).and_then(|sandbox| sandbox.run.clone())))
            .await?;
        work.run = run;
        Ok(match &work.run {
            None => Begun {
                work,
                taken: None,
                frozen: None,
            },
            Some(run) => {
                let shim = run.shim.as_ref().ok_or_else(silent);
                let frozen = freeze.then(|| {
                    shim.and_then(|shim| shim.post(Verb::Freeze, Secret::default(), None))
                });
                Begun {
                    taken: handed.replies.into_iter().next(),
                    frozen,
                    work,
                }
            }
        })
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
        hint: "see to the disk, then revoke again".into(),
        ..failure
    }
}
