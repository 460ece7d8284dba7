//! Refreshing: a revocation ends, the newest credentials are delivered, secrets' files are read again,
//! and what was frozen goes on.

use forage_api::ident::{SandboxId, SandboxName};
use forage_api::shim::control::RunState;
use forage_api::{ErrorKind, Failure};

use super::auth::{AuthChange, Work, answer, deadline, subject};
use super::hand_over::{Go, How};
use super::handle::Core;
use super::sandbox::Operation;

impl Core {
    /// Brings the credentials of one sandbox up to date, or of all of an owner's.
    pub(crate) async fn refresh(
        &self,
        owner: u32,
        name: Option<SandboxName>,
    ) -> Result<AuthChange, Failure> {
        let core = self.clone();
        self.operate(subject("refresh", owner, name.as_ref()), async move {
            let mut works = Vec::new();
            for name in core.chosen(owner, name).await? {
                let mut work = core.work_on(name).await;
                if let Err(failure) = core.end_revocation(&work).await {
                    work.fail(failure);
                }
                works.push(work);
            }
            let mut change = AuthChange::default();
            core.hand_again(owner, &mut works, &mut change).await;
            for work in works {
                change.sandboxes.extend(core.outcome(work, true).await);
            }
            Ok(change)
        })
        .await
    }

    /// Hands those that run what they ought to have, and lets them go on.
    async fn hand_again(&self, owner: u32, works: &mut [Work], change: &mut AuthChange) {
        let runs = |work: &&mut Work| work.failure.is_none() && work.run.is_some();
        let mut works: Vec<&mut Work> = works.iter_mut().filter(runs).collect();
        let ids: Vec<SandboxId> = works.iter().map(|work| work.name.id).collect();
        let how = How {
            refresh: true,
            then: Some(Go::Thaw),
            ..How::default()
        };
        let handed = match self.hand_over(owner, &ids, how).await {
            Ok(handed) => handed,
            Err(failure) => {
                let all = works.iter_mut();
                all.for_each(|work| work.fail(failure.clone()));
                return;
            }
        };
        if let Ok(Some(resolution)) = handed.resolution {
            (change.warnings, change.debug) = (resolution.warnings, resolution.debug);
        }
        let deadline = deadline();
        for (work, posted) in works.into_iter().zip(handed.posted) {
            self.delivered(work, posted.credentials, deadline).await;
            if let Some(thawed) = posted.went {
                self.was_thawed(work, answer(thawed, deadline).await);
            }
        }
    }

    /// Records that a sandbox may have credentials again.
    async fn end_revocation(&self, work: &Work) -> Result<(), Failure> {
        let id = work.name.id;
        let revoked = self
            .ask(move |state| {
                let Some(sandbox) = state.by_id(id) else {
                    return Ok(false);
                };
                let revoked = sandbox.readable().map(|_| sandbox.is_revoked())?;
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
