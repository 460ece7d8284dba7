//! Bringing a change of a token to every running sandbox it concerns: handed to all of them at once,
//! then waited for.

use std::collections::BTreeMap;

use forage_api::Failure;
use forage_api::ident::SandboxId;
use forage_api::shim::control::TokenSource;

use super::auth::{deadline, left};
use super::handle::{Core, Order};
use super::link::Reply;
use super::takers::Taker;
use super::tokens::TokenChange;
use super::wallet::Holder;

/// Sandboxes, and what their shims were told.
pub(super) type Waiting = Vec<(Taker, Result<Reply, Failure>)>;

impl Core {
    /// Hands a change of an owner's entry over.
    pub(super) async fn spread(
        &self,
        order: &Order<'_>,
        holder: Holder,
    ) -> Result<Waiting, Failure> {
        let mut by_owner: BTreeMap<u32, Vec<Taker>> = BTreeMap::new();
        for taker in self.takers(holder).await? {
            by_owner.entry(taker.name.owner).or_default().push(taker);
        }
        let mut waiting = Vec::new();
        for (owner, takers) in by_owner {
            let theirs = owner != holder.owner;
            let had_shared = takers.iter().any(|taker| taker.has_shared);
            if theirs && !had_shared && !self.falls_back(owner).await {
                continue;
            }
            waiting.extend(self.hand_to(order, owner, takers).await?);
        }
        Ok(waiting)
    }

    /// Hands a change of an owner's login over, unless a stored token goes first.
    pub(super) async fn spread_login(
        &self,
        order: &Order<'_>,
        owner: u32,
    ) -> Result<Waiting, Failure> {
        let source = self
            .resolved(owner)
            .await
            .map(|found| found.resolution.source);
        if matches!(
            source,
            Ok(TokenSource::TokenStore | TokenSource::SharedTokenStore)
        ) {
            return Ok(Vec::new());
        }
        let takers = self.takers(self.holder(owner).await?).await?;
        let own = takers.into_iter().filter(|taker| taker.name.owner == owner);
        self.hand_to(order, owner, own.collect()).await
    }

    async fn hand_to(
        &self,
        order: &Order<'_>,
        owner: u32,
        takers: Vec<Taker>,
    ) -> Result<Waiting, Failure> {
        let ids: Vec<SandboxId> = takers.iter().map(|taker| taker.name.id).collect();
        let handed = self.hand_over(order, owner, &ids, false).await?;
        Ok(takers.into_iter().zip(handed.replies).collect())
    }

    /// Waits for what the shims say, all at a time. The change is on disk: who missed it gets it later.
    pub(super) async fn gather(&self, owner: u32, waiting: Waiting) -> TokenChange {
        let mut change = TokenChange::default();
        let deadline = deadline();
        for (taker, reply) in waiting {
            let delivered = match reply {
                Ok(reply) => reply.within(left(deadline)).await.is_ok(),
                Err(_) => false,
            };
            let name = taker.name.name.to_string();
            match (taker.name.owner == owner, delivered) {
                (true, true) => change.updated.push(name),
                (true, false) => change.stale.push(name),
                (false, true) => change.others += 1,
                (false, false) => {}
            }
            if !delivered {
                self.missed(taker.name);
            }
        }
        change.updated.sort();
        change.stale.sort();
        change
    }

    /// Tells whether an owner's sandboxes use the shared token; where that cannot be found out, they
    /// may.
    async fn falls_back(&self, owner: u32) -> bool {
        let found = self.resolved(owner).await;
        found.map_or(true, |found| {
            found.resolution.source == TokenSource::SharedTokenStore
        })
    }
}
