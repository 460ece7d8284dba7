//! What there is of one owner's tokens: the entries of the token store that matter, and the login.

use forage_api::shim::control::TokenSource;
use forage_api::{Failure, Secret};
use jiff::Timestamp;
use tokio::time::timeout_at;

use super::hand_over::{Resolved, in_time, too_late};
use super::handle::Core;
use super::host_login::KnownLogin;
use super::ports::{TokenEntry, TokenPlace};
use super::resolve::{Choice, Entry, Resolution, resolve};

/// Where an owner's entry lies, and whose they may fall back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) owner: u32,
    pub(super) place: TokenPlace,
    /// The configured user, where the owner may fall back to their entry.
    pub(super) falls_back_to: Option<u32>,
    /// Whether others may fall back to this owner's entry.
    pub(super) shares: bool,
}

/// The entries as they were read.
pub(super) struct Wallet {
    own: TokenEntry,
    shared: Option<TokenEntry>,
    pub(super) login: KnownLogin,
    login_token: Secret,
    holder: Holder,
}

impl Core {
    /// Finds out where an owner's entry lies. Unknown until a good configuration was read: the
    /// defaults would point to another entry, or to none.
    pub(super) async fn holder(&self, owner: u32) -> Result<Holder, Failure> {
        let config = self.ask(|state| state.settings.read_config()).await?;
        let user = match &config.user {
            Some(name) => self.ports().users.uid_of(name).await?,
            None => None,
        };
        let is_user = user == Some(owner);
        // Who has left the group keeps no share in what members share, though their sandboxes run.
        let may_share = config.share_token
            && (is_user || owner == 0 || self.ports().users.is_member(owner).await?);
        let place = if is_user {
            TokenPlace::User
        } else {
            TokenPlace::Member(owner)
        };
        Ok(Holder {
            owner,
            place,
            falls_back_to: user.filter(|_| may_share && !is_user),
            shares: may_share && is_user,
        })
    }

    /// Reads the entries that matter for an owner.
    pub(super) async fn wallet(&self, holder: Holder) -> Result<Wallet, Failure> {
        let tokens = &self.ports().tokens;
        let entries = async {
            let own = tokens.read(holder.place).await?;
            let shared = match holder.falls_back_to {
                Some(_) => Some(tokens.read(TokenPlace::User).await?),
                None => None,
            };
            Ok((own, shared))
        };
        let (own, shared) = timeout_at(in_time(), entries)
            .await
            .unwrap_or_else(|_| Err(too_late()))?;
        let (login, login_token) = self
            .ask(move |state| Ok(state.logins.of(holder.owner)))
            .await?;
        Ok(Wallet {
            own,
            shared,
            login,
            login_token,
            holder,
        })
    }

    /// Finds out which token an owner's sandboxes use.
    pub(super) async fn resolved(&self, owner: u32) -> Result<Resolved, Failure> {
        let wallet = self.wallet(self.holder(owner).await?).await?;
        let resolution = wallet.resolve(self.ports().clock.now());
        Ok(Resolved {
            token: wallet.token(resolution.source),
            login: wallet.login,
            resolution,
        })
    }
}

impl Wallet {
    /// Which token is used, and what is to be said about it.
    pub(super) fn resolve(&self, now: Timestamp) -> Resolution {
        let (own, shared) = (self.own(), self.shared());
        let choice = Choice {
            own: &own,
            shared: shared.as_ref(),
            login: self.login,
        };
        resolve(choice, now)
    }

    /// The owner's own entry.
    pub(super) fn own(&self) -> Entry {
        entry(&self.own, self.holder.owner)
    }

    /// The entry the owner may fall back to.
    pub(super) fn shared(&self) -> Option<Entry> {
        Some(entry(self.shared.as_ref()?, self.holder.falls_back_to?))
    }

    fn token(&self, source: TokenSource) -> Secret {
        let entry = match source {
            TokenSource::None => None,
            TokenSource::HostLogin => return self.login_token.clone(),
            TokenSource::TokenStore => Some(&self.own),
            TokenSource::SharedTokenStore => self.shared.as_ref(),
        };
        match entry {
            Some(TokenEntry::Stored(stored)) => stored.token.clone(),
            _ => Secret::default(),
        }
    }
}

/// What resolution needs to know of an entry that should belong to `uid`. An entry without a uid has
/// the form the specification documents, and belongs to whose place it lies in.
fn entry(found: &TokenEntry, uid: u32) -> Entry {
    match found {
        TokenEntry::Missing => Entry::Missing,
        TokenEntry::Damaged(why) => Entry::Unusable(why.clone()),
        TokenEntry::Stored(stored) if stored.uid.is_some_and(|owner| owner != uid) => {
            Entry::Unusable("it belongs to another user".into())
        }
        TokenEntry::Stored(stored) => Entry::Dated {
            created_at: stored.created_at,
            expires_at: stored.expires_at,
        },
    }
}
