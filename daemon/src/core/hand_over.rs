//! Handing sandboxes what they ought to have. Which token that is may take long to find out, so that
//! comes first, in its owner's turn. What else decides, revocations above all, is looked at in the one
//! step that also hands over: a revocation that is known is never undone by what was found out before it.

use std::time::Duration;

use forage_api::ident::SandboxId;
use forage_api::shim::control::{RunState, TokenSource, Verb};
use forage_api::{ErrorKind, Failure, Secret};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::handle::{Core, Order};
use super::host_login::KnownLogin;
use super::link::{Reply, silent};
use super::resolve::Resolution;
use super::sandbox::{Operation, Run, Sandbox};
use super::state::State;

/// How long it may take to find out which token is used, the wait for the turn included. A shim that
/// starts waits longer.
const LOOK_UP_WAIT: Duration = Duration::from_secs(5);

/// What is handed over besides the token.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// Secrets' files are read again.
    pub(super) refresh: bool,
    /// Where the token cannot be found out, a start goes on without: otherwise who has one keeps it.
    pub(super) or_nothing: bool,
    pub(super) then: Option<Go>,
}

/// What becomes of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// They stop where they stand.
    Freeze,
    /// What is frozen goes on, unless it is revoked.
    Thaw,
}

/// What came of handing over.
pub(super) struct Handed {
    /// Which token is used; `None` where none of them takes one now.
    pub(super) resolution: Result<Option<Resolution>, Failure>,
    /// What becomes of each, in their order.
    pub(super) posted: Vec<Posted>,
}

/// What one sandbox's shim was told.
pub(super) struct Posted {
    pub(super) credentials: Result<Reply, Failure>,
    /// `None` where there was nothing to freeze or to let go on.
    pub(super) went: Option<Result<Reply, Failure>>,
    /// Its run, `None` where it has none.
    pub(super) run: Option<Run>,
    /// What is under way on it.
    pub(super) busy: Option<Operation>,
    pub(super) readable: bool,
}

/// A token, and what is known about it.
pub(super) struct Resolved {
    pub(super) resolution: Resolution,
    pub(super) token: Secret,
    pub(super) login: KnownLogin,
}

/// What was found out in an owner's turn, which lasts until this is handed over.
pub(super) struct Found<'a> {
    _order: Option<&'a Order>,
    pub(super) resolved: Result<Option<Resolved>, Failure>,
}

impl Found<'_> {
    /// Nothing was looked up: enough to take away.
    pub(super) const fn nothing() -> Self {
        Self {
            _order: None,
            resolved: Ok(None),
        }
    }

    /// Where the token comes from, if that is known.
    pub(super) fn source(&self) -> Option<TokenSource> {
        let found = self.resolved.as_ref().ok()?.as_ref()?;
        Some(found.resolution.source)
    }
}

impl Core {
    /// Hands an owner's sandboxes what they ought to have, in the owner's turn.
    pub(super) async fn hand_over(
        &self,
        owner: u32,
        ids: &[SandboxId],
        how: How,
    ) -> Result<Handed, Failure> {
        let wanted = ids.to_vec();
        let takes = self.ask(move |state| Ok(wanted.iter().any(|id| may_get(state, *id))));
        if !takes.await? {
            return self.post(Found::nothing(), ids, how).await;
        }
        let deadline = in_time();
        // Who does not have the turn in time hands no token over, and so does not need it.
        let Ok(order) = timeout_at(deadline, self.order(owner)).await else {
            let found = Found {
                _order: None,
                resolved: Err(too_late()),
            };
            return self.post(found, ids, how).await;
        };
        let found = self.look_up(&order, deadline).await;
        self.post(found, ids, how).await
    }

    /// Finds out which token an owner's sandboxes use.
    pub(super) async fn look_up<'a>(&self, order: &'a Order, deadline: Instant) -> Found<'a> {
        let resolved = timeout_at(deadline, self.resolved(order.owner())).await;
        Found {
            _order: Some(order),
            resolved: resolved.unwrap_or_else(|_| Err(too_late())).map(Some),
        }
    }

    /// Hands over what was found out. Where the token is not known, who takes one keeps what it has.
    pub(super) async fn post(
        &self,
        found: Found<'_>,
        ids: &[SandboxId],
        how: How,
    ) -> Result<Handed, Failure> {
        let ids = ids.to_vec();
        let now = self.ports().clock.now();
        let resolved = found.resolved;
        self.ask(move |state| {
            let post = |id: &SandboxId| post(state, *id, &resolved, how, now);
            Ok(Handed {
                posted: ids.iter().map(post).collect(),
                resolution: resolved.map(|found| found.map(|found| found.resolution)),
            })
        })
        .await
    }
}

fn may_get(state: &State, id: SandboxId) -> bool {
    let sandbox = state.by_id(id);
    sandbox.is_some_and(|one| state.takes_token(one) && !one.is_revoked())
}

fn post(
    state: &State,
    id: SandboxId,
    resolved: &Result<Option<Resolved>, Failure>,
    how: How,
    now: Timestamp,
) -> Posted {
    let sandbox = state.by_id(id);
    let run = sandbox.and_then(|sandbox| sandbox.run.as_ref());
    let shim = || run.and_then(|run| run.shim.as_ref()).ok_or_else(silent);
    let send = |verb, token| shim()?.post(verb, token, None);
    let credentials = match sandbox {
        Some(sandbox) => wanted_of(state, sandbox, resolved, how, now)
            .and_then(|(verb, token)| send(verb, token)),
        None => Err(silent()),
    };
    let verb = run.and_then(|run| match how.then? {
        Go::Freeze => Some(Verb::Freeze),
        Go::Thaw => {
            let revoked = sandbox.is_some_and(Sandbox::is_revoked);
            (run.state == RunState::Frozen && !revoked).then_some(Verb::Thaw)
        }
    });
    Posted {
        credentials,
        went: verb.map(|verb| send(verb, Secret::default())),
        run: run.cloned(),
        busy: sandbox.and_then(|sandbox| sandbox.busy),
        readable: sandbox.is_some_and(|sandbox| sandbox.record.is_ok()),
    }
}

fn wanted_of(
    state: &State,
    sandbox: &Sandbox,
    resolved: &Result<Option<Resolved>, Failure>,
    how: How,
    now: Timestamp,
) -> Result<(Verb, Secret), Failure> {
    let was_revoked = sandbox.run.as_ref().is_some_and(Run::is_revoked);
    let unreadable = sandbox.readable().err();
    let revoked = sandbox.is_revoked() || unreadable.is_some() && was_revoked;
    let verb = |source, expires_at| Verb::Credentials {
        source,
        expires_at,
        revoked,
        // A shim that found the revocation in the record does not take its end from a token alone.
        refresh: how.refresh || was_revoked && !revoked,
    };
    let nothing = (verb(TokenSource::None, None), Secret::default());
    if revoked || !state.takes_token(sandbox) {
        return Ok(nothing);
    }
    let found = match resolved {
        Ok(Some(found)) => found,
        Err(_) if how.or_nothing => return Ok(nothing),
        Err(failure) => return Err(failure.clone()),
        // It takes one only since it was asked.
        Ok(None) => return Err(too_late()),
    };
    let resolution = &found.resolution;
    // A daemon that was restarted knows of no login until its owner hands it over again: a sandbox
    // that has it keeps it for as long as it lasts.
    let has_login_until = sandbox.run.as_ref().and_then(Run::has_login_until);
    if let (TokenSource::None, KnownLogin::Unknown, Some(until)) =
        (resolution.source, found.login, has_login_until)
        && until.is_none_or(|until| until > now)
    {
        return Ok((verb(TokenSource::HostLogin, until), Secret::default()));
    }
    if let Some(failure) = unreadable {
        // Its record may say that it is revoked: it may keep what it has, but is given nothing.
        let from = resolution.source.as_str();
        let run = sandbox.run.as_ref();
        let keeps = run.is_some_and(|run| run.has_token_from(from));
        return if keeps { Err(failure) } else { Ok(nothing) };
    }
    let verb = verb(resolution.source, resolution.expires_at);
    Ok((verb, found.token.clone()))
}

/// When a look-up that begins now has taken too long.
pub(super) fn in_time() -> Instant {
    Instant::now() + LOOK_UP_WAIT
}

/// The failure of a look-up that takes too long.
pub(super) fn too_late() -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        "the disk or the host's user database does not answer in time",
    )
    .hint("what is missed follows by itself once they answer")
}
