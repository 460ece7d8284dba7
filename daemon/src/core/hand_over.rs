//! Handing sandboxes what they ought to have. What that is is looked up while the token order is held:
//! the records' revocations, the token store and the logins. So nothing that arrives later undoes it.

use forage_api::ident::SandboxId;
use forage_api::shim::control::{TokenSource, Verb};
use forage_api::{Failure, Secret};
use jiff::Timestamp;

use super::handle::{Core, Order};
use super::host_login::KnownLogin;
use super::link::{Reply, Shim, silent};
use super::resolve::Resolution;
use super::sandbox::Run;
use super::state::State;

/// What came of handing over.
pub(super) struct Handed {
    /// Which token is used; `None` where none of them takes one now.
    pub(super) resolution: Result<Option<Resolution>, Failure>,
    /// What becomes of each, in their order.
    pub(super) replies: Vec<Result<Reply, Failure>>,
}

/// A sandbox, and what matters for what it is given.
struct Target {
    shim: Option<Shim>,
    revoked: bool,
    /// Whether its shim says that it was revoked.
    was_revoked: bool,
    takes_token: bool,
    /// When the login expires that it was given, where it was given one.
    has_login_until: Option<Option<Timestamp>>,
}

/// A token, and what is known about it.
pub(super) struct Resolved {
    pub(super) resolution: Resolution,
    pub(super) token: Secret,
    pub(super) login: KnownLogin,
}

impl Core {
    /// Hands an owner's sandboxes what they ought to have. `refresh`: secrets' files are read again.
    /// Where the token cannot be found out now, who takes one keeps what it has.
    pub(super) async fn hand_over(
        &self,
        _order: &Order<'_>,
        owner: u32,
        ids: &[SandboxId],
        refresh: bool,
    ) -> Result<Handed, Failure> {
        let wanted = ids.to_vec();
        let targets = self
            .ask(move |state| {
                Ok(wanted
                    .iter()
                    .map(|id| target(state, *id))
                    .collect::<Vec<_>>())
            })
            .await?;
        let resolved = if targets.iter().any(|one| one.takes_token && !one.revoked) {
            self.resolved(owner).await.map(Some)
        } else {
            Ok(None)
        };
        let now = self.ports().clock.now();
        let reply = |target: &Target| {
            let shim = target.shim.as_ref().ok_or_else(silent)?;
            let (verb, token) = wanted_of(target, &resolved, refresh, now)?;
            shim.post(verb, token, None)
        };
        Ok(Handed {
            replies: targets.iter().map(reply).collect(),
            resolution: resolved.map(|found| found.map(|found| found.resolution)),
        })
    }
}

/// Lets a start go on without a token.
pub(super) fn nothing(shim: &Shim) -> Result<Reply, Failure> {
    let verb = Verb::Credentials {
        source: TokenSource::None,
        expires_at: None,
        revoked: false,
        refresh: false,
    };
    shim.post(verb, Secret::default(), None)
}

fn target(state: &State, id: SandboxId) -> Target {
    let sandbox = state.by_id(id);
    let run = sandbox.and_then(|sandbox| sandbox.run.as_ref());
    let record = sandbox.and_then(|sandbox| sandbox.record.as_ref().ok());
    Target {
        shim: run.and_then(|run| run.shim.clone()),
        revoked: record.is_some_and(|record| record.revoked_at.is_some()),
        was_revoked: run.is_some_and(Run::is_revoked),
        takes_token: sandbox.is_some_and(|sandbox| state.takes_token(sandbox)),
        has_login_until: run.and_then(Run::has_login_until),
    }
}

fn wanted_of(
    target: &Target,
    resolved: &Result<Option<Resolved>, Failure>,
    refresh: bool,
    now: Timestamp,
) -> Result<(Verb, Secret), Failure> {
    let verb = |source, expires_at| Verb::Credentials {
        source,
        expires_at,
        revoked: target.revoked,
        // A shim that found the revocation in the record does not take its end from a token alone.
        refresh: refresh || target.was_revoked && !target.revoked,
    };
    let nothing = (verb(TokenSource::None, None), Secret::default());
    if target.revoked || !target.takes_token {
        return Ok(nothing);
    }
    let Some(found) = resolved.as_ref().map_err(Clone::clone)? else {
        return Ok(nothing);
    };
    let resolution = &found.resolution;
    // A daemon that was restarted knows of no login until its owner hands it over again: a sandbox
    // that has it keeps it for as long as it lasts.
    if let (TokenSource::None, KnownLogin::Unknown, Some(until)) =
        (resolution.source, found.login, target.has_login_until)
        && until.is_none_or(|until| until > now)
    {
        return Ok((verb(TokenSource::HostLogin, until), Secret::default()));
    }
    let verb = verb(resolution.source, resolution.expires_at);
    Ok((verb, found.token.clone()))
}
