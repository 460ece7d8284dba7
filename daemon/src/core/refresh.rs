//! Refreshing: a revocation ends, the newest credentials are delivered, secrets' files are read again,
//! and what was frozen goes on.

use forage_api::Failure;
use forage_api::ident::SandboxName;
use forage_api::record::RecordName;
use forage_api::shim::control::{RunState, Verb};
use forage_api::{ErrorKind, Secret};

use super::auth::{AuthChange, Work, deadline, left, subject};
use super::handle::Core;
use super::link::Reply;
use super::resolve::Resolution;
use super::sandbox::Operation;

/// A refresh that is under way.
struct Begun {
    work: Work,
    given: Option<Result<Reply, Failure>>,
    thawed: Option<Result<Reply, Failure>>,
    resolution: Option<Resolution>,
}

impl Core {
    /// Brings the credentials of one sandbox up to date, or of all of an owner's.
    pub(crate) async fn refresh(
        &self,
        owner: u32,
        name: Option<SandboxName>,
    ) -> Result<AuthChange, Failure> {
        let core = self.clone();
        self.operate(subject("refresh", owner, name.as_ref()), async move {
            let mut all = Vec::new();
            for name in core.chosen(owner, name).await? {
                all.push(core.begin_refresh(name).await?);
            }
            let deadline = deadline();
            let mut change = AuthChange::default();
            for begun in all {
                let mut work = begun.work;
                if let Some(reply) = begun.given {
                    core.delivered(&mut work, reply, deadline).await;
                }
                if let Some(reply) = begun.thawed {
                    let said = match reply {
                        Ok(reply) => reply.within(left(deadline)).await,
                        Err(failure) => Err(failure),
                    };
                    core.was_thawed(&mut work, said);
                }
                if let Some(resolution) = begun.resolution {
                    (change.warnings, change.debug) = (resolution.warnings, resolution.debug);
                }
                change.sandboxes.extend(core.outcome(work, true).await);
            }
            Ok(change)
        })
        .await
    }

    async fn begin_refresh(&self, name: RecordName) -> Result<Begun, Failure> {
        let id = name.id;
        let mut work = self.work_on(name).await?;
        let begun = |work| Begun {
            work,
            given: None,
            thawed: None,
            resolution: None,
        };
        if let Err(failure) = self.end_revocation(&work).await {
            work.fail(failure);
            return Ok(begun(work));
        }
        if work.run.is_none() {
            return Ok(begun(work));
        }
        let order = self.token_order().await;
        let handed = self.hand_over(&order, work.name.owner, &[id], true).await?;
        let frozen = work
            .run
            .as_ref()
            .filter(|run| run.state == RunState::Frozen);
        let shim = frozen.and_then(|run| run.shim.as_ref());
        let thawed = shim.map(|shim| shim.post(Verb::Thaw, Secret::default(), None));
        Ok(Begun {
            work,
            given: handed.replies.into_iter().next(),
            thawed,
            resolution: handed.resolution.ok().flatten(),
        })
    }

    /// Records that a sandbox may have credentials again.
    async fn end_revocation(&self, work: &Work) -> Result<(), Failure> {
        let id = work.name.id;
        let revoked = self
            .ask(move |state| {
                let Some(sandbox) = state.by_id(id) else {
                    return Ok(false);
                };
                let revoked = sandbox.readable()?.revoked_at.is_some();
                match sandbox.busy {
                    Some(Operation::Remove) if revoked => sandbox.idle().map(|()| false),
                    _ => Ok(revoked),
                }
            })
            .await?;
        if !revoked {
            return Ok(());
        }
        self.amend(id, |record| record.revoked_at = None)
            .await
            .map_err(|failure| Failure {
                message: format!("it stays revoked: {}", failure.message),
                ..failure
            })
    }

    fn was_thawed(&self, work: &mut Work, said: Result<(), Failure>) {
        match said {
            Ok(()) => {
                let id = work.name.id;
                self.tell(move |state| {
                    state.update_run(id, |run| {
                        if run.state == RunState::Frozen {
                            run.state = RunState::Running;
                        }
                    });
                });
            }
            Err(failure) if failure.kind == ErrorKind::SandboxNotRunning => {}
            Err(failure) => work.fail(Failure {
                message: format!("it is still frozen: {}", failure.message),
                ..failure
            }),
        }
    }
}
