//! The token store: storing, describing and removing tokens, and bringing every change to the
//! sandboxes that run.

use std::collections::BTreeMap;
use std::time::Duration;

use forage_api::bus::TokenState;
use forage_api::shim::control::TokenSource;
use forage_api::{ErrorKind, Failure, Secret};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::handle::{Core, Subject};
use super::link::{Reply, Shim};
use super::ports::{StoredToken, TokenEntry, TokenPlace};
use super::resolve::{Age, Entry, age, days_left};
use super::stop::REPLY_WAIT;
use super::takers::Taker;
use super::token_text;
use super::wallet::Holder;

/// What came of a change of the token store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenChange {
    pub(crate) expires_at: Option<Timestamp>,
    /// The owner's running sandboxes that have the change.
    pub(crate) updated: Vec<String>,
    /// The owner's running sandboxes that will have it later.
    pub(crate) stale: Vec<String>,
    /// How many sandboxes of others have it.
    pub(crate) others: u32,
    pub(crate) warnings: Vec<String>,
}

/// What can be seen of an owner's token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenStatus {
    pub(crate) state: TokenState,
    pub(crate) source: TokenSource,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) days_left: Option<i64>,
    pub(crate) sandboxes: Vec<String>,
    pub(crate) others: u32,
    pub(crate) warnings: Vec<String>,
}

impl Core {
    /// Stores a token and rewrites it in running sandboxes. It is durable when this returns.
    pub(crate) async fn store_token(
        &self,
        owner: u32,
        text: Secret,
    ) -> Result<TokenChange, Failure> {
        let core = self.clone();
        self.operate(subject("token-store", owner), async move {
            let pasted = token_text::read(text.expose())?;
            drop(text);
            let holder = core.holder(owner).await?;
            let created_at = whole_seconds(core.ports().clock.now());
            let expires_at = in_one_year(created_at)?;
            let token = StoredToken {
                token: pasted.token,
                created_at,
                expires_at,
                uid: Some(owner),
            };
            {
                let _order = core.token_order().lock().await;
                core.ports().tokens.write(holder.place, token).await?;
            }
            let mut change = core.spread(holder).await?;
            change.expires_at = Some(expires_at);
            change.warnings = pasted.warnings;
            Ok(change)
        })
        .await
    }

    /// Deletes a token and takes it away from running sandboxes.
    pub(crate) async fn remove_token(&self, owner: u32) -> Result<TokenChange, Failure> {
        let core = self.clone();
        self.operate(subject("token-remove", owner), async move {
            let holder = core.holder(owner).await?;
            let tokens = &core.ports().tokens;
            {
                let _order = core.token_order().lock().await;
                let foreign = matches!(
                    tokens.read(holder.place).await?,
                    TokenEntry::Stored(stored) if stored.uid.is_some_and(|uid| uid != owner)
                );
                let mut deleted = !foreign && tokens.delete(holder.place).await?;
                if holder.place == TokenPlace::User {
                    // An entry from before the owner was the configured user.
                    deleted |= tokens.delete(TokenPlace::Member(owner)).await?;
                }
                if !deleted {
                    return Err(Failure::new(ErrorKind::NoSuchToken, "no token is stored"));
                }
            }
            core.spread(holder).await
        })
        .await
    }

    /// Describes a token.
    pub(crate) async fn token_status(&self, owner: u32) -> Result<TokenStatus, Failure> {
        let holder = self.holder(owner).await?;
        let wallet = self.wallet(holder).await?;
        let now = self.ports().clock.now();
        let resolution = wallet.resolve(now);
        let entry = match resolution.source {
            TokenSource::SharedTokenStore => wallet.shared().unwrap_or(Entry::Missing),
            TokenSource::TokenStore | TokenSource::HostLogin | TokenSource::None => wallet.own(),
        };
        let takers = self.takers(holder).await?;
        let uses = |taker: &&Taker| resolution.source != TokenSource::None && taker.shim.is_some();
        let mut status = TokenStatus {
            state: TokenState::Missing,
            source: resolution.source,
            created_at: None,
            expires_at: None,
            days_left: None,
            sandboxes: takers
                .iter()
                .filter(|taker| taker.name.owner == owner)
                .filter(uses)
                .map(|taker| taker.name.name.to_string())
                .collect(),
            others: count(
                takers
                    .iter()
                    .filter(|taker| taker.name.owner != owner && taker.has_shared),
            ),
            warnings: resolution.warnings,
        };
        if let Entry::Dated {
            created_at,
            expires_at,
        } = entry
        {
            status.state = match age(expires_at, now) {
                Age::Valid => TokenState::Valid,
                Age::Expiring => TokenState::Expiring,
                Age::Expired => TokenState::Expired,
            };
            status.created_at = Some(created_at);
            status.expires_at = Some(expires_at);
            status.days_left = Some(days_left(expires_at, now));
        }
        Ok(status)
    }

    /// Brings a change of an owner's entry to every running sandbox it concerns.
    async fn spread(&self, holder: Holder) -> Result<TokenChange, Failure> {
        let mut by_owner: BTreeMap<u32, Vec<Taker>> = BTreeMap::new();
        for taker in self.takers(holder).await? {
            by_owner.entry(taker.name.owner).or_default().push(taker);
        }
        let mut waiting: Vec<(Taker, Result<Reply, Failure>)> = Vec::new();
        for (owner, takers) in by_owner {
            let theirs = owner != holder.owner;
            let had_shared = takers.iter().any(|taker| taker.has_shared);
            let (reached, missed): (Vec<_>, Vec<_>) =
                takers.into_iter().partition(|taker| taker.shim.is_some());
            waiting.extend(
                missed
                    .into_iter()
                    .map(|taker| (taker, Err(super::link::silent()))),
            );
            if theirs && !had_shared && !self.falls_back(owner).await.unwrap_or(true) {
                continue;
            }
            let shims: Vec<Shim> = reached
                .iter()
                .filter_map(|taker| taker.shim.clone())
                .collect();
            // The change is on disk: what cannot be handed over now is made up for later.
            match self.hand_over(owner, &shims).await {
                Ok((_, replies)) => waiting.extend(reached.into_iter().zip(replies)),
                Err(failure) => {
                    let missed = |taker| (taker, Err(failure.clone()));
                    waiting.extend(reached.into_iter().map(missed));
                }
            }
        }
        self.gather(holder.owner, waiting).await
    }

    /// Waits for what the shims say, all at a time.
    async fn gather(
        &self,
        owner: u32,
        waiting: Vec<(Taker, Result<Reply, Failure>)>,
    ) -> Result<TokenChange, Failure> {
        let mut change = TokenChange::default();
        let deadline = tokio::time::Instant::now() + REPLY_WAIT;
        for (taker, reply) in waiting {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let delivered = match reply {
                Ok(reply) => reply
                    .within(left.max(Duration::from_millis(1)))
                    .await
                    .is_ok(),
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
        Ok(change)
    }

    /// Tells whether an owner's sandboxes use the shared token.
    async fn falls_back(&self, owner: u32) -> Result<bool, Failure> {
        let wallet = self.wallet(self.holder(owner).await?).await?;
        let resolution = wallet.resolve(self.ports().clock.now());
        Ok(resolution.source == TokenSource::SharedTokenStore)
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

fn subject(operation: &'static str, owner: u32) -> Subject {
    Subject {
        operation,
        owner,
        name: None,
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The same day of the next year.
fn in_one_year(time: Timestamp) -> Result<Timestamp, Failure> {
    time.to_zoned(TimeZone::UTC)
        .checked_add(1.year())
        .map(|later| later.timestamp())
        .map_err(|_| {
            Failure::new(
                ErrorKind::Internal,
                "the clock of this host is out of range",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_year() {
        for (from, to) in [
            ("2026-03-19T21:00:00Z", "2027-03-19T21:00:00Z"),
            ("2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z"),
            ("2027-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            let later = in_one_year(from.parse().unwrap()).unwrap();
            assert_eq!(later.to_string(), to);
        }
    }
}
