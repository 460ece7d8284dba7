//! Expiry as a deadline: what running sandboxes were given is looked at when it comes near its end and
//! when it has come there, whatever the machine did meanwhile. Subscribers and the journal are told
//! once; what has expired is replaced by the next source there is.
//!
//! The wait is for a point of the wall clock, so that time asleep counts, and ends early when somebody
//! sets that clock: then everything is resolved anew, since a token may be good again.

use std::collections::BTreeMap;

use forage_api::ident::{AgentName, SandboxId};
use forage_api::record::RecordName;
use forage_api::shim::control::{Delivered, TokenSource};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::auth::{deadline, left};
use super::hand_over::How;
use super::handle::Core;
use super::notice::Notice;
use super::ports::Woken;
use super::state::State;

/// How near its end a credential is. The later, the nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Good,
    Month,
    Day,
    Expired,
}

impl Level {
    /// How near its end something is.
    fn of(one: &Delivered, expires_at: Timestamp, now: Timestamp) -> Self {
        let near = |level: &Self| level.begins(expires_at).is_some_and(|begins| begins <= now);
        let levels = Self::of_source(&one.source).iter().rev();
        levels.copied().find(near).unwrap_or(Self::Good)
    }

    /// What is told of a source. A login lasts some hours: that it expires within a day is no news.
    fn of_source(source: &str) -> &'static [Self] {
        if source == TokenSource::HostLogin.as_str() {
            &[Self::Expired]
        } else {
            &[Self::Month, Self::Day, Self::Expired]
        }
    }

    /// When something that expires then comes as near. That it has a day or a month left to the
    /// nanosecond is not less than that.
    fn begins(self, expires_at: Timestamp) -> Option<Timestamp> {
        let (days, more) = match self {
            Self::Good => return None,
            Self::Month => (30, 1),
            Self::Day => (1, 1),
            Self::Expired => return Some(expires_at),
        };
        let before = SignedDuration::from_hours(24 * days) - SignedDuration::from_nanos(more);
        Some(expires_at.checked_sub(before).unwrap_or(Timestamp::MIN))
    }

    /// How many days are told to be left.
    const fn days(self) -> i64 {
        match self {
            Self::Good | Self::Month => 30,
            Self::Day => 1,
            Self::Expired => 0,
        }
    }
}

/// What was told of a credential.
struct Told {
    fingerprint: Option<String>,
    expires_at: Timestamp,
    level: Level,
}

/// What was told, and who waits for something new to look at.
#[derive(Default)]
pub(crate) struct Deadlines {
    told: BTreeMap<(SandboxId, AgentName), Told>,
    changed: watch::Sender<()>,
}

impl Deadlines {
    /// What is delivered is not what it was.
    pub(super) fn changed(&self) {
        self.changed.send_replace(());
    }

    /// Takes note of how near its end a credential is; tells whether that is news. A clock that was
    /// set back makes what was told undone.
    fn take_note(&mut self, key: (SandboxId, AgentName), now: Told) -> bool {
        let before = self.told.get(&key).filter(|told| {
            told.fingerprint == now.fingerprint && told.expires_at == now.expires_at
        });
        let news = now.level > before.map_or(Level::Good, |told| told.level);
        self.told.insert(key, now);
        news
    }
}

/// What there is to do.
struct Due {
    /// Sandboxes that were given something which has expired since.
    expired: Vec<RecordName>,
    /// When there is something to do next.
    next: Option<Timestamp>,
}

impl State {
    /// Looks at everything that is delivered, and tells what is near its end.
    fn look_at_deadlines(&mut self, now: Timestamp) -> Due {
        let mut due = Due {
            expired: Vec::new(),
            next: None,
        };
        let mut all = Vec::new();
        for sandbox in self.all() {
            let given = sandbox
                .run
                .as_ref()
                .and_then(|run| run.credentials.as_ref());
            for one in given.into_iter().flatten() {
                let held = one.fingerprint.is_some() && !one.revoked;
                if let (Some(expires_at), true) = (one.expires_at, held) {
                    all.push((sandbox.name.clone(), one.clone(), expires_at));
                }
            }
        }
        let ids: Vec<SandboxId> = self.all().map(|sandbox| sandbox.name.id).collect();
        let told = &mut self.deadlines.told;
        told.retain(|(id, _), _| ids.binary_search(id).is_ok());
        for (name, one, expires_at) in all {
            let level = Level::of(&one, expires_at, now);
            let ahead = Level::of_source(&one.source).iter();
            let ahead = ahead.filter_map(|level| level.begins(expires_at));
            let next = ahead.filter(|begins| *begins > now).min();
            due.next = due.next.into_iter().chain(next).min();
            let told = Told {
                fingerprint: one.fingerprint.clone(),
                expires_at,
                level,
            };
            if !self.deadlines.take_note((name.id, one.agent.clone()), told) {
                continue;
            }
            write_down(&name, &one, level, expires_at);
            if level == Level::Expired && due.expired.last() != Some(&name) {
                due.expired.push(name.clone());
            }
            self.notify(Notice::Expiring {
                owner: name.owner,
                name: name.name.to_string(),
                credential: one,
                days_left: level.days(),
            });
        }
        due
    }
}

impl Core {
    /// Keeps the deadlines, for as long as the daemon lives.
    pub(crate) async fn keep_deadlines(self) {
        let changed = self.ask(|state| Ok(state.deadlines.changed.subscribe()));
        let Ok(mut changed) = changed.await else {
            return;
        };
        loop {
            changed.mark_unchanged();
            let now = self.ports().clock.now();
            let due = self.ask(move |state| Ok(state.look_at_deadlines(now)));
            let Ok(due) = due.await else { return };
            self.renew(due.expired);
            tokio::select! {
                woken = self.ports().clock.until(due.next) => {
                    if woken == Woken::ClockSet {
                        self.renew(self.with_tokens().await);
                    }
                }
                heard = changed.changed() => {
                    if heard.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The running sandboxes that take a token.
    async fn with_tokens(&self) -> Vec<RecordName> {
        let takers = self.ask(|state| {
            let takers = state.all().filter(|one| state.takes_token(one));
            Ok(takers.map(|one| one.name.clone()).collect())
        });
        takers.await.unwrap_or_default()
    }

    /// Hands sandboxes what they ought to have by now, in the background.
    fn renew(&self, names: Vec<RecordName>) {
        let mut by_owner: BTreeMap<u32, Vec<RecordName>> = BTreeMap::new();
        for name in names {
            by_owner.entry(name.owner).or_default().push(name);
        }
        for (owner, names) in by_owner {
            let core = self.clone();
            tokio::spawn(async move { core.renew_of(owner, names).await });
        }
    }

    async fn renew_of(&self, owner: u32, names: Vec<RecordName>) {
        let ids: Vec<SandboxId> = names.iter().map(|name| name.id).collect();
        let Ok(handed) = self.hand_over(owner, &ids, How::default()).await else {
            names.into_iter().for_each(|name| self.missed(name));
            return;
        };
        let deadline = deadline();
        for (name, posted) in names.into_iter().zip(handed.posted) {
            let renewed = match posted.credentials {
                Ok(reply) => reply.within(left(deadline)).await.is_ok(),
                Err(_) => false,
            };
            if !renewed {
                self.missed(name);
            }
        }
    }
}

fn write_down(name: &RecordName, one: &Delivered, level: Level, expires_at: Timestamp) {
    let (event, text) = match level {
        Level::Expired => ("credential-expired", "has expired"),
        Level::Day => ("credential-expiring", "expires within a day"),
        Level::Good | Level::Month => ("credential-expiring", "expires within 30 days"),
    };
    let fingerprint = one.fingerprint.as_deref().unwrap_or_default();
    tracing::warn!(
        FORAGE_EVENT = event,
        FORAGE_SANDBOX = name.name.as_str(),
        FORAGE_ID = %name.id,
        FORAGE_UID = name.owner,
        FORAGE_AGENT = one.agent.as_str(),
        FORAGE_CREDENTIAL_SOURCE = one.source,
        FORAGE_CREDENTIAL_FP = fingerprint,
        "sandbox {} ({}) of uid {}: what {} is given ({}, {fingerprint}) {text}: {}",
        name.name,
        name.id,
        name.owner,
        one.agent,
        one.source,
        expires_at.strftime("%Y-%m-%d at %H:%M UTC"),
    );
}

#[cfg(test)]
mod tests;
