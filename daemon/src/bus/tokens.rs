//! `org.firefly.Forage1.Tokens`.

use std::sync::Arc;

use forage_api::bus::{OwnerOptions, TokenInfo, TokenReply};
use forage_api::{ErrorKind, Failure};
use zbus::interface;
use zbus::message::Header;

use super::access::Method;
use super::gate::Gate;
use super::{memfd, wire};

/// The interface for the token store.
pub(crate) struct Tokens {
    gate: Arc<Gate>,
}

impl Tokens {
    pub(super) const fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }
}

/// The token store: one Claude token per user.
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
        let fd = token
            .try_to_owned()
            .and_then(std::os::fd::OwnedFd::try_from)
            .map_err(|_| Failure::new(ErrorKind::InvalidArgument, "the descriptor is gone"))?;
        let text = memfd::read(fd).await?;
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
}
