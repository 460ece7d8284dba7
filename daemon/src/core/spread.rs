//! Bringing a change of a token to every running sandbox it concerns: handed to all of them at once,
//! then waited for.

use std::collections::BTreeMap;

use forage_api::Failure;
use forage_api::ident::SandboxId;
use forage_api::shim::control::TokenSource;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::auth::{deadline, left};
use super::hand_over::{Found, How, in_time, too_late};
use super::handle::{Core, Order};
use super::link::Reply;
use super::takers::Taker;
use super::tokens::TokenChange;
use super::wallet::Holder;

/// Sandboxes, and what their shims were told.
pub(super) type Waiting = Vec<(Taker, Result<Reply, Failure>)>;

impl Core {
    /// Hands a change of an owner's entry over to the owner's sandboxes.
    pub(super) async fn spread(&self, order: &Order, holder: Holder) -> Result<Waiting, Failure> {
        let own = self.takers(holder).await?;
        let own = own.into_iter().filter(|one| one.name.owner == holder.owner);
        let found = self.look_up(order, in_time()).await;
        self.hand_to(found, own.collect()).await
    }

    /// Hands a change of an owner's entry over to those who use it too, each in their own turn, all at
    /// a time: no turn of the owner's lasts until then.
    pub(super) async fn spread_to_others(&self, holder: Holder) -> Result<Waiting, Failure> {
        let mut by_owner: BTreeMap<u32, Vec<Taker>> = BTreeMap::new();
        for taker in self.takers(holder).await? {
            by_owner.entry(taker.name.owner).or_default().push(taker);
        }
        by_owner.remove(&holder.owner);
        let mut others = JoinSet::new();
        for (owner, takers) in by_owner {
            let core = self.clone();
            others.spawn(async move { core.spread_to(owner, takers).await });
        }
        let waiting = others.join_all().await.into_iter();
        Ok(waiting.flatten().collect())
    }

    async fn spread_to(&self, owner: u32, takers: Vec<Taker>) -> Waiting {
        let deadline = in_time();
        let Ok(order) = timeout_at(deadline, self.order(owner)).await else {
            return missed(takers);
        };
        let found = self.look_up(&order, deadline).await;
        let had_shared = takers.iter().any(|taker| taker.has_shared);
        // Where that cannot be found out, they may use it.
        let others = found.source() != Some(TokenSource::SharedTokenStore);
        if found.resolved.is_ok() && others && !had_shared {
            return Vec::new();
        }
        // That fails only where the daemon ends.
        self.hand_to(found, takers).await.unwrap_or_default()
    }

    /// Hands a change of an owner's login over, unless a stored token goes first.
    pub(super) async fn spread_login(&self, holder: Holder) -> Result<Waiting, Failure> {
        let deadline = in_time();
        let takers = self.takers(holder).await?.into_iter();
        let own = takers.filter(|taker| taker.name.owner == holder.owner);
        let Ok(order) = timeout_at(deadline, self.order(holder.owner)).await else {
            return Ok(missed(own.collect()));
        };
        let found = self.look_up(&order, deadline).await;
        if let Some(TokenSource::TokenStore | TokenSource::SharedTokenStore) = found.source() {
            return Ok(Vec::new());
        }
        self.hand_to(found, own.collect()).await
    }

    async fn hand_to(&self, found: Found<'_>, takers: Vec<Taker>) -> Result<Waiting, Failure> {
        let ids: Vec<SandboxId> = takers.iter().map(|taker| taker.name.id).collect();
        let handed = self.post(found, &ids, How::default()).await?;
        let replies = handed.posted.into_iter().map(|posted| posted.credentials);
        Ok(takers.into_iter().zip(replies).collect())
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
}

fn missed(takers: Vec<Taker>) -> Waiting {
    let late = |taker| (taker, Err(too_late()));
    takers.into_iter().map(late).collect()
}
