//! Which running sandboxes a change of the token store concerns.

use forage_api::Failure;
use forage_api::record::RecordName;
use jiff::Timestamp;

use super::handle::Core;
use super::link::Shim;
use super::ports::TokenPlace;
use super::wallet::Holder;

/// A running sandbox that takes a token.
pub(super) struct Taker {
    pub(super) name: RecordName,
    pub(super) shim: Option<Shim>,
    /// Whether the token it was given is the shared one.
    pub(super) has_shared: bool,
    /// When the login expires that it was given, where it was given one.
    pub(super) has_login_until: Option<Timestamp>,
}

impl Core {
    /// The running sandboxes that an owner's entry may concern. Those that were given the shared
    /// token are among them even when it is not shared any more; those that are revoked get nothing.
    pub(super) async fn takers(&self, holder: Holder) -> Result<Vec<Taker>, Failure> {
        self.ask(move |state| {
            let takers = state.all().filter_map(|sandbox| {
                let run = sandbox.run.as_ref()?;
                if !state.takes_token(sandbox) || sandbox.is_revoked() {
                    return None;
                }
                let has_shared = run.has_token_from("shared-token-store");
                let own = sandbox.name.owner == holder.owner;
                let shared = has_shared && holder.place == TokenPlace::User;
                (own || holder.shares || shared).then(|| Taker {
                    name: sandbox.name.clone(),
                    shim: run.shim.clone(),
                    has_shared,
                    has_login_until: run.has_login_until().flatten(),
                })
            });
            Ok(takers.collect())
        })
        .await
    }

    /// What an owner is told of running sandboxes that a new token passes by.
    pub(super) async fn passed_by(&self, owner: u32) -> Vec<String> {
        let words = self.ask(move |state| {
            let own = state.all().filter(|sandbox| sandbox.name.owner == owner);
            let revoked = own.filter(|one| one.is_revoked() && state.takes_token(one));
            let words = revoked.map(|sandbox| {
                let name = &sandbox.name.name;
                format!("{name} is revoked and gets none; undo that with: forage-ctl auth refresh {name}")
            });
            Ok(words.collect::<Vec<_>>())
        });
        words.await.unwrap_or_default()
    }
}
