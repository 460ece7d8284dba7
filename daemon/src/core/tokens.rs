//! The token store: storing, describing and removing tokens, and taking logins.

use forage_api::bus::TokenState;
use forage_api::shim::control::TokenSource;
use forage_api::{ErrorKind, Failure, Secret};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::handle::{Core, Subject};
use super::host_login::{self, KnownLogin};
use super::ports::{StoredToken, TokenEntry, TokenPlace};
use super::resolve::{Age, Entry, age, days_left};
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
    /// When the login expires, where that is used.
    pub(crate) login_expires_at: Option<Timestamp>,
    pub(crate) sandboxes: Vec<String>,
    pub(crate) others: u32,
    pub(crate) warnings: Vec<String>,
}

impl Core {
    /// Takes an owner's login on this host, or that there is none, and brings it to the running
    /// sandboxes that use it.
    pub(crate) async fn offer_login(
        &self,
        owner: u32,
        token: Secret,
        expires_at_ms: i64,
    ) -> Result<TokenChange, Failure> {
        let now = self.ports().clock.now();
        let login = host_login::judge(token, expires_at_ms, now)?;
        let holder = self.holder(owner).await?;
        let offered = login.clone();
        let known = self.ask(move |state| Ok(!state.logins.is_news(owner, offered.as_ref())));
        let expires_at = login.as_ref().map(|login| login.expires_at);
        if known.await? {
            // It comes before every start; that nothing has changed is not worth an entry in the journal.
            return Ok(TokenChange {
                expires_at,
                ..TokenChange::default()
            });
        }
        let core = self.clone();
        self.operate(subject("host-login", owner), async move {
            core.ask(move |state| state.logins.set(owner, login, now))
                .await?;
            let waiting = core.spread_login(holder).await?;
            Ok(TokenChange {
                expires_at,
                ..core.gather(owner, waiting).await
            })
        })
        .await
    }

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
            let mut waiting = {
                let order = core.order(owner).await;
                core.ports().tokens.write(holder.place, token).await?;
                core.spread(&order, holder).await?
            };
            waiting.extend(core.spread_to_others(holder).await?);
            let mut change = core.gather(owner, waiting).await;
            change.expires_at = Some(expires_at);
            change.warnings = pasted.warnings;
            change.warnings.extend(core.passed_by(owner).await);
            Ok(change)
        })
        .await
    }

    /// Deletes a token and takes it away from running sandboxes.
    pub(crate) async fn remove_token(&self, owner: u32) -> Result<TokenChange, Failure> {
        let core = self.clone();
        self.operate(subject("token-remove", owner), async move {
            let holder = core.holder(owner).await?;
            let (mut waiting, failure) = {
                let order = core.order(owner).await;
                let (deleted, failure) = core.delete_token(holder).await?;
                if !deleted {
                    let none = || Failure::new(ErrorKind::NoSuchToken, "no token is stored");
                    return Err(failure.unwrap_or_else(none));
                }
                (core.spread(&order, holder).await?, failure)
            };
            waiting.extend(core.spread_to_others(holder).await?);
            let change = core.gather(owner, waiting).await;
            failure.map_or(Ok(change), Err)
        })
        .await
    }

    /// Deletes an owner's entries; tells whether something is gone, and what failed.
    async fn delete_token(&self, holder: Holder) -> Result<(bool, Option<Failure>), Failure> {
        let tokens = &self.ports().tokens;
        let found = tokens.read(holder.place).await?;
        let foreign = matches!(
            &found,
            TokenEntry::Stored(stored) if stored.uid.is_some_and(|uid| uid != holder.owner)
        );
        let mut places = Vec::new();
        if !foreign {
            places.push(holder.place);
        }
        if holder.place == TokenPlace::User {
            // An entry from before the owner was the configured user.
            places.push(TokenPlace::Member(holder.owner));
        }
        let (mut deleted, mut failure) = (false, None);
        let gone = |entry| matches!(entry, Ok(TokenEntry::Missing));
        for place in places {
            let was_there = !gone(tokens.read(place).await);
            match tokens.delete(place).await {
                Ok(there_was) => deleted |= there_was,
                Err(error) => {
                    // It may be gone all the same, but not durably.
                    deleted |= was_there && gone(tokens.read(place).await);
                    failure.get_or_insert(error);
                }
            }
        }
        Ok((deleted, failure))
    }

    /// Describes a token.
    pub(crate) async fn token_status(&self, owner: u32) -> Result<TokenStatus, Failure> {
        let holder = self.holder(owner).await?;
        let mut wallet = self.wallet(holder).await?;
        let now = self.ports().clock.now();
        let takers = self.takers(holder).await?;
        if wallet.login == KnownLogin::Unknown {
            // This process was not told; but what runs may have it.
            let own = takers.iter().filter(|taker| taker.name.owner == owner);
            let until = own.filter_map(|taker| taker.has_login_until).max();
            wallet.login = until.map_or(KnownLogin::Unknown, KnownLogin::Dated);
        }
        let resolution = wallet.resolve(now);
        let entry = match resolution.source {
            TokenSource::SharedTokenStore => wallet.shared().unwrap_or(Entry::Missing),
            TokenSource::TokenStore | TokenSource::HostLogin | TokenSource::None => wallet.own(),
        };
        let uses = |taker: &&Taker| resolution.source != TokenSource::None && taker.shim.is_some();
        let mut status = TokenStatus {
            state: TokenState::Missing,
            source: resolution.source,
            created_at: None,
            expires_at: None,
            days_left: None,
            login_expires_at: resolution
                .expires_at
                .filter(|_| resolution.source == TokenSource::HostLogin),
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
