//! `org.firefly.Forage1.Tokens`: credentials.

use std::sync::Arc;

use forage_api::bus::{
    AuthReply, CredentialInfo, OwnerOptions, RevokeOptions, TokenInfo, TokenReply,
};
use forage_api::ident::SandboxName;
use forage_api::{ErrorKind, Failure, Secret};
use zbus::interface;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;

use super::access::Method;
use super::gate::Gate;
use super::{memfd, wire};
use crate::core::Then;

/// The interface for the token store.
pub(crate) struct Tokens {
    gate: Arc<Gate>,
}

impl Tokens {
    pub(super) const fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

/// Credentials: one stored Claude token per user, logins, refreshing and revoking.
#[interface(name = "org.firefly.Forage1.Tokens")]
impl Tokens {
    /// Stores a token, given in a fully sealed memfd of at most 8 KiB, and rewrites it in the running
    /// sandboxes that use it. Replies when it is durable. Options: `owner` (s), the user to act for.
    #[zbus(out_args("reply"))]
    async fn store(
        &self,
        token: zbus::Fd<'_>,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<TokenReply, Failure> {
        let caller = self.gate.enter(Method::StoreToken, &header).await?;
        let text = content(&token).await?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(wire::token_change(
            self.gate.core().store_token(owner, text).await?,
        ))
    }

    /// Describes the stored token; never its value. Options: `owner` (s).
    #[zbus(out_args("token"))]
    async fn status(
        &self,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<TokenInfo, Failure> {
        let caller = self.gate.enter(Method::TokenStatus, &header).await?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(wire::token(self.gate.core().token_status(owner).await?))
    }

    /// Deletes the stored token and takes it away from running sandboxes. Options: `owner` (s).
    #[zbus(out_args("reply"))]
    async fn remove(
        &self,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<TokenReply, Failure> {
        let caller = self.gate.enter(Method::RemoveToken, &header).await?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(wire::token_change(
            self.gate.core().remove_token(owner).await?,
        ))
    }

    /// Takes the access token of the caller's own login on the host, in a fully sealed memfd of at most
    /// 8 KiB, and brings it to the running sandboxes that use it; an empty memfd says that there is
    /// none. It is kept in memory alone. `expires_at_ms` is in milliseconds since 1970. Options:
    /// `owner` (s), which may name the caller.
    #[zbus(out_args("reply"))]
    async fn offer_host_login(
        &self,
        token: zbus::Fd<'_>,
        expires_at_ms: i64,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<TokenReply, Failure> {
        let caller = self.gate.enter(Method::OfferHostLogin, &header).await?;
        let text = content(&token).await?;
        let owner = self.gate.itself(&caller, options.owner.as_deref()).await?;
        let core = self.gate.core();
        let change = core.offer_login(owner, text, expires_at_ms).await?;
        Ok(wire::token_change(change))
    }

    /// Brings the credentials of one sandbox up to date, or of all of the owner's where `name` is
    /// empty: ends a revocation, reads secrets' files again, lets what was frozen go on. Options:
    /// `owner` (s).
    #[zbus(out_args("reply"))]
    async fn refresh(
        &self,
        name: &str,
        options: OwnerOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<AuthReply, Failure> {
        let caller = self.gate.enter(Method::Refresh, &header).await?;
        let name = one_or_all(name)?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(wire::auth(self.gate.core().refresh(owner, name).await?))
    }

    /// Takes the credentials of one sandbox away, or of all of the owner's where `name` is empty, at
    /// every start too, until `Refresh`. Options: `owner` (s); `then` (s), `freeze` or `stop`: what
    /// happens to a running sandbox afterwards.
    #[zbus(out_args("reply"))]
    async fn revoke(
        &self,
        name: &str,
        options: RevokeOptions,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<AuthReply, Failure> {
        let caller = self.gate.enter(Method::Revoke, &header).await?;
        let name = one_or_all(name)?;
        let then = Then::parse(options.then.as_deref())?;
        let owner = self.gate.owner(&caller, options.owner.as_deref()).await?;
        Ok(wire::auth(
            self.gate.core().revoke(owner, name, then).await?,
        ))
    }

    /// What an agent of a sandbox is given has changed; to connections of its owner that subscribed.
    #[zbus(signal)]
    pub(super) async fn credential_rotated(
        emitter: &SignalEmitter<'_>,
        name: &str,
        credential: CredentialInfo,
    ) -> zbus::Result<()>;

    /// What an agent of a sandbox is given expires within `days_left` days: 30, 1, or 0 when it has
    /// expired; to connections of its owner that subscribed.
    #[zbus(signal)]
    pub(super) async fn credential_expiring(
        emitter: &SignalEmitter<'_>,
        name: &str,
        credential: CredentialInfo,
        days_left: i64,
    ) -> zbus::Result<()>;

    /// The credentials of a sandbox were revoked; these are what it held. To connections of its owner
    /// that subscribed.
    #[zbus(signal)]
    pub(super) async fn revoked(
        emitter: &SignalEmitter<'_>,
        name: &str,
        held: Vec<CredentialInfo>,
    ) -> zbus::Result<()>;
}

async fn content(token: &zbus::Fd<'_>) -> Result<Secret, Failure> {
    let fd = token
        .try_to_owned()
        .and_then(std::os::fd::OwnedFd::try_from)
        .map_err(|_| Failure::new(ErrorKind::InvalidArgument, "the descriptor is gone"))?;
    memfd::read(fd).await
}

/// The sandbox that is meant; an empty name means all.
fn one_or_all(name: &str) -> Result<Option<SandboxName>, Failure> {
    match name {
        "" => Ok(None),
        name => Ok(Some(name.parse()?)),
    }
}
