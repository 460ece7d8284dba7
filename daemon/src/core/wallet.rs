//! The entries of the token store that matter for one owner, and handing a token over to shims.

use forage_api::shim::control::{TokenSource, Verb};
use forage_api::{Failure, Secret};
use jiff::Timestamp;

use super::handle::Core;
use super::link::{Reply, Shim};
use super::ports::{TokenEntry, TokenPlace};
use super::resolve::{Entry, Resolution, resolve};

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
        let place = if is_user {
            TokenPlace::User
        } else {
            TokenPlace::Member(owner)
        };
        Ok(Holder {
            owner,
            place,
            falls_back_to: user.filter(|_| config.share_token && !is_user),
            shares: config.share_token && is_user,
        })
    }

    /// Reads the entries that matter for an owner.
    pub(super) async fn wallet(&self, holder: Holder) -> Result<Wallet, Failure> {
        let tokens = &self.ports().tokens;
        let own = tokens.read(holder.place).await?;
        let shared = match holder.falls_back_to {
            Some(_) => Some(tokens.read(TokenPlace::User).await?),
            None => None,
        };
        Ok(Wallet {
            own,
            shared,
            holder,
        })
    }

    /// Hands the token an owner's sandboxes use over to some of their shims. Where that cannot be
    /// found out now, they keep what they have.
    pub(super) async fn hand_over(
        &self,
        owner: u32,
        shims: &[Shim],
    ) -> Result<(Resolution, Vec<Result<Reply, Failure>>), Failure> {
        let holder = self.holder(owner).await?;
        let _order = self.token_order().lock().await;
        let wallet = self.wallet(holder).await?;
        let resolution = wallet.resolve(self.ports().clock.now());
        let replies = shims
            .iter()
            .map(|shim| post(shim, &resolution, wallet.token(resolution.source)))
            .collect();
        Ok((resolution, replies))
    }
}

/// Hands a token over to a shim.
pub(super) fn post(shim: &Shim, resolution: &Resolution, token: Secret) -> Result<Reply, Failure> {
    let verb = Verb::Credentials {
        source: resolution.source,
        expires_at: resolution.expires_at,
        revoked: false,
        refresh: false,
    };
    shim.post(verb, token, None)
}

impl Wallet {
    /// Which token is used, and what is to be said about it.
    pub(super) fn resolve(&self, now: Timestamp) -> Resolution {
        resolve(&self.own(), self.shared().as_ref(), now)
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
            TokenSource::None | TokenSource::HostLogin => None,
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
