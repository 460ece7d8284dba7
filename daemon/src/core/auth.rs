//! What refreshing and revoking have in common: whose sandboxes, and what became of each.

use forage_api::Failure;
use forage_api::bus::SandboxState;
use forage_api::ident::SandboxName;
use forage_api::record::RecordName;
use forage_api::shim::control::Delivered;
use tokio::time::{Duration, Instant};

use super::handle::{Core, Subject};
use super::link::Reply;
use super::sandbox::Run;
use super::stop::REPLY_WAIT;

/// What came of refreshing or revoking.
#[derive(Debug, Default)]
pub(crate) struct AuthChange {
    pub(crate) sandboxes: Vec<AuthOutcome>,
    pub(crate) warnings: Vec<String>,
    pub(crate) debug: Vec<String>,
}

/// What became of one sandbox.
#[derive(Debug)]
pub(crate) struct AuthOutcome {
    pub(crate) name: String,
    pub(crate) state: SandboxState,
    pub(crate) credentials: Vec<Delivered>,
    /// What could not be done now and follows by itself.
    pub(crate) stale: Option<String>,
    /// What failed and is not tried again.
    pub(crate) failure: Option<Failure>,
}

/// A sandbox that is worked on, and what is known of its outcome by now.
pub(super) struct Work {
    pub(super) name: RecordName,
    /// What it held before.
    pub(super) held: Vec<Delivered>,
    /// Its run.
    pub(super) run: Option<Run>,
    pub(super) stale: Option<String>,
    pub(super) failure: Option<Failure>,
}

impl Core {
    /// The sandboxes that are meant: one, or all of the owner's.
    pub(super) async fn chosen(
        &self,
        owner: u32,
        name: Option<SandboxName>,
    ) -> Result<Vec<RecordName>, Failure> {
        self.ask(move |state| match name {
            Some(name) => {
                let sandbox = state.find(owner, &name)?;
                Ok(vec![sandbox.name.clone()])
            }
            None => {
                let mut all: Vec<RecordName> = state
                    .all()
                    .filter(|one| one.name.owner == owner)
                    .map(|one| one.name.clone())
                    .collect();
                all.sort_by(|one, other| one.name.cmp(&other.name));
                Ok(all)
            }
        })
        .await
    }

    /// Begins to work on a sandbox.
    pub(super) async fn work_on(&self, name: RecordName) -> Work {
        let id = name.id;
        let run = self.ask(move |state| Ok(state.by_id(id).and_then(|one| one.run.clone())));
        let run = run.await.ok().flatten();
        let given = run.as_ref().and_then(|run| run.credentials.clone());
        let held = given.unwrap_or_default().into_iter();
        let held = held.filter(is_held).collect();
        Work {
            name,
            held,
            run,
            stale: None,
            failure: None,
        }
    }

    /// Waits for what a shim says to new credentials. What it missed, it is brought later.
    pub(super) async fn delivered(
        &self,
        work: &mut Work,
        reply: Result<Reply, Failure>,
        deadline: Instant,
    ) {
        if let Err(failure) = answer(reply, deadline).await {
            work.stale = Some(failure.message);
            self.missed(work.name.clone());
        }
    }

    /// Describes the outcome, with the state the sandbox is in by now.
    pub(super) async fn outcome(&self, work: Work, now: bool) -> Option<AuthOutcome> {
        let id = work.name.id;
        let found = self.ask(move |state| Ok(state.by_id(id).map(|one| one.status())));
        let status = found.await.ok().flatten()?;
        Some(AuthOutcome {
            name: work.name.name.to_string(),
            state: status.state,
            credentials: if now { status.credentials } else { work.held },
            stale: work.stale,
            failure: work.failure,
        })
    }
}

/// Tells whether there is something in it.
fn is_held(one: &Delivered) -> bool {
    !one.revoked && one.source != "none"
}

/// Waits for a shim's answer.
pub(super) async fn answer(
    reply: Result<Reply, Failure>,
    deadline: Instant,
) -> Result<(), Failure> {
    reply?.within(left(deadline)).await
}

/// Until when shims may answer that are asked now.
pub(super) fn deadline() -> Instant {
    Instant::now() + REPLY_WAIT
}

pub(super) fn left(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.max(Duration::from_millis(1))
}

pub(super) fn subject(operation: &'static str, owner: u32, name: Option<&SandboxName>) -> Subject {
    Subject {
        operation,
        owner,
        name: name.cloned(),
    }
}
