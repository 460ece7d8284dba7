//! Which token a sandbox gets: the order of the documented resolution, as a pure function.
//!
//! A template whose agents name secrets gets none of this. Otherwise the owner's entry in the token
//! store, then the shared one; an expired entry is passed over with a warning.

use forage_api::shim::control::TokenSource;
use jiff::{SignedDuration, Timestamp};

/// How long before its expiry a token is warned about.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

const RENEW: &str = "renew it with: claude setup-token, then: forage-ctl claude token store";
const SET_UP: &str = "set one up with: claude setup-token, then: forage-ctl claude token store";
/// What `-v` prints; documented word for word.
const STORED: &str = "using stored long-lived Claude OAuth token";

/// What resolution needs to know of an entry of the token store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// There is none.
    Missing,
    /// There is one that cannot be used, and why.
    Unusable(String),
    /// There is one.
    Dated {
        /// When it was stored.
        created_at: Timestamp,
        /// When it expires.
        expires_at: Timestamp,
    },
}

/// How much of its life a token has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Valid,
    Expiring,
    Expired,
}

/// Judges an expiry.
pub(crate) fn age(expires_at: Timestamp, now: Timestamp) -> Age {
    match expires_at.duration_since(now) {
        left if left <= SignedDuration::ZERO => Age::Expired,
        left if left < EXPIRES_SOON => Age::Expiring,
        _ => Age::Valid,
    }
}

/// Whole days until an expiry; negative once it has passed.
pub(crate) fn days_left(expires_at: Timestamp, now: Timestamp) -> i64 {
    expires_at
        .duration_since(now)
        .as_secs()
        .div_euclid(24 * 60 * 60)
}

/// Which token is used, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// Where it comes from.
    pub(crate) source: TokenSource,
    /// When it expires.
    pub(crate) expires_at: Option<Timestamp>,
    /// For the user.
    pub(crate) warnings: Vec<String>,
    /// For the user who asks for more.
    pub(crate) debug: Vec<String>,
}

impl Resolution {
    /// No token, and nothing to say about it.
    pub(crate) const fn nothing() -> Self {
        Self {
            source: TokenSource::None,
            expires_at: None,
            warnings: Vec::new(),
            debug: Vec::new(),
        }
    }
}

/// Resolves the token of a sandbox. `shared` is the configured user's entry, where the owner is
/// somebody else and may fall back to it.
pub(crate) fn resolve(own: &Entry, shared: Option<&Entry>, now: Timestamp) -> Resolution {
    let mut resolution = Resolution::nothing();
    let sources = [
        (
            TokenSource::TokenStore,
            Some(own),
            "the stored Claude token",
        ),
        (
            TokenSource::SharedTokenStore,
            shared,
            "the shared Claude token",
        ),
    ];
    for (source, entry, what) in sources {
        let Some(entry) = entry else { continue };
        if consider(entry, what, now, &mut resolution) {
            resolution.source = source;
            resolution.debug.push(STORED.into());
            if source == TokenSource::SharedTokenStore {
                let line = "the token is the shared one of the configured user";
                resolution.debug.push(line.into());
            }
            return resolution;
        }
    }
    let none = format!("no Claude token: Claude agents will say they are not logged in; {SET_UP}");
    resolution.warnings.push(none);
    resolution
        .debug
        .push("found no usable Claude OAuth token".into());
    resolution
}

/// Tells whether an entry is used, and says what is to be said about it.
fn consider(entry: &Entry, what: &str, now: Timestamp, resolution: &mut Resolution) -> bool {
    let (created_at, expires_at) = match entry {
        Entry::Missing => return false,
        Entry::Unusable(why) => {
            resolution
                .warnings
                .push(format!("{what} cannot be used: {why}"));
            return false;
        }
        Entry::Dated {
            created_at,
            expires_at,
        } => (*created_at, *expires_at),
    };
    let mut warn = |text| resolution.warnings.push(text);
    let day = expires_at.strftime("%Y-%m-%d");
    match age(expires_at, now) {
        Age::Valid => {}
        Age::Expiring => {
            let days = days_left(expires_at, now);
            warn(format!("{what} expires on {day}, in {days} days; {RENEW}"));
        }
        Age::Expired => {
            warn(format!("{what} expired on {day} and is not used; {RENEW}"));
            return false;
        }
    }
    if created_at > now {
        warn(format!(
            "{what} was stored in the future, on {}: check the clock of this host",
            created_at.strftime("%Y-%m-%d")
        ));
    }
    resolution.expires_at = Some(expires_at);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-01T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn left(seconds: i64) -> Entry {
        Entry::Dated {
            created_at: now() - SignedDuration::from_hours(24),
            expires_at: now() + SignedDuration::from_secs(seconds),
        }
    }

    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn the_table() {
        use TokenSource::{None as Nothing, SharedTokenStore, TokenStore};
        let damaged = Entry::Unusable("it is damaged".into());
        // Own entry, shared entry, source, words of the warnings in order.
        type Row = (Entry, Option<Entry>, TokenSource, &'static [&'static str]);
        let rows: [Row; 13] = [
            (left(365 * DAY), None, TokenStore, &[]),
            (left(30 * DAY), None, TokenStore, &[]),
            (
                left(30 * DAY - 1),
                None,
                TokenStore,
                &["expires on 2026-07-01, in 29 days"],
            ),
            (left(1), None, TokenStore, &["in 0 days"]),
            (
                left(0),
                None,
                Nothing,
                &["expired on 2026-06-01", "no Claude token"],
            ),
            (
                left(-DAY),
                None,
                Nothing,
                &["expired on 2026-05-31", "no Claude token"],
            ),
            (Entry::Missing, None, Nothing, &["no Claude token"]),
            (
                damaged.clone(),
                None,
                Nothing,
                &["it is damaged", "no Claude token"],
            ),
            (Entry::Missing, Some(left(90 * DAY)), SharedTokenStore, &[]),
            (
                left(-1),
                Some(left(90 * DAY)),
                SharedTokenStore,
                &["the stored Claude token expired"],
            ),
            (
                damaged,
                Some(left(DAY)),
                SharedTokenStore,
                &["it is damaged", "the shared Claude token expires"],
            ),
            (left(90 * DAY), Some(left(-1)), TokenStore, &[]),
            (
                Entry::Missing,
                Some(left(-1)),
                Nothing,
                &["the shared Claude token expired", "no Claude token"],
            ),
        ];
        for (own, shared, source, words) in rows {
            let row = format!("{own:?} {shared:?}");
            let resolution = resolve(&own, shared.as_ref(), now());
            assert_eq!(resolution.source, source, "{row}");
            assert_eq!(resolution.expires_at.is_some(), source != Nothing, "{row}");
            assert_eq!(
                resolution.warnings.len(),
                words.len(),
                "{row}: {resolution:?}"
            );
            for (warning, word) in resolution.warnings.iter().zip(words) {
                assert!(warning.contains(word), "{row}: {warning}");
            }
            let stored = resolution.debug.iter().any(|line| line == STORED);
            assert_eq!(stored, source != Nothing, "{row}");
        }
    }

    #[test]
    fn warnings_say_how_to_renew() {
        for entry in [left(DAY), left(-DAY), Entry::Missing] {
            let warnings = resolve(&entry, None, now()).warnings.join("\n");
            assert!(warnings.contains("claude setup-token"), "{warnings}");
            assert!(
                warnings.contains("forage-ctl claude token store"),
                "{warnings}"
            );
        }
    }

    #[test]
    fn a_token_from_the_future_is_used_with_a_warning() {
        let entry = Entry::Dated {
            created_at: now() + SignedDuration::from_hours(48),
            expires_at: now() + SignedDuration::from_hours(24 * 365),
        };
        let resolution = resolve(&entry, None, now());
        assert_eq!(resolution.source, TokenSource::TokenStore);
        assert!(resolution.warnings[0].contains("check the clock"));
    }

    #[test]
    fn days_are_whole() {
        let at = |seconds| now() + SignedDuration::from_secs(seconds);
        assert_eq!(days_left(at(DAY - 1), now()), 0);
        assert_eq!(days_left(at(DAY), now()), 1);
        assert_eq!(days_left(at(-1), now()), -1);
    }
}
