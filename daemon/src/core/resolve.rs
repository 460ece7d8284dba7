//! Which token a sandbox gets: the order of the documented resolution, as a pure function.
//!
//! A template whose agents name secrets gets none of this. Otherwise the owner's entry in the token
//! store, then the shared one, then the owner's login on this host; what has expired is passed over
//! with a warning.

use forage_api::shim::control::TokenSource;
use jiff::{SignedDuration, Timestamp};

use super::host_login::KnownLogin;

/// How long before its expiry a token is warned about.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

const RENEW: &str = "renew it with: claude setup-token, then: forage-ctl claude token store";
const SET_UP: &str =
    "set a long-lived one up with: claude setup-token, then: forage-ctl claude token store";
const LOG_IN: &str = "log in on this host with: claude auth login, or";
/// What `-v` prints; documented word for word.
const STORED: &str = "using stored long-lived Claude OAuth token";
const READ: &str = "read OAuth token from host login";
const SHORT_LIVED: &str = "using short-lived OAuth token from host login";

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

/// An entry that is not used: why, and what to do about it.
struct PassedOver {
    why: String,
    next: &'static str,
}

/// What there is to choose from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// The owner's own entry.
    pub(crate) own: &'a Entry,
    /// The configured user's entry, where the owner is somebody else and may fall back to it.
    pub(crate) shared: Option<&'a Entry>,
    /// The owner's login on this host.
    pub(crate) login: KnownLogin,
}

/// Resolves the token of a sandbox.
pub(crate) fn resolve(choice: Choice<'_>, now: Timestamp) -> Resolution {
    let mut resolution = Resolution::nothing();
    let mut passed_over = Vec::new();
    let own = (
        TokenSource::TokenStore,
        Some(choice.own),
        "the stored Claude token",
    );
    let shared = (
        TokenSource::SharedTokenStore,
        choice.shared,
        "the shared Claude token",
    );
    for (source, entry, what) in [own, shared] {
        let Some(entry) = entry else { continue };
        match consider(entry, what, now, &mut resolution) {
            Ok(()) => {
                resolution.source = source;
                break;
            }
            Err(why) => passed_over.extend(why),
        }
    }
    if resolution.source == TokenSource::None {
        log_in(choice.login, now, &mut resolution);
    }
    let missing = matches!(choice.own, Entry::Missing) && choice.shared.is_none_or(is_missing);
    conclude(&mut resolution, passed_over, missing, now);
    resolution
}

const fn is_missing(entry: &Entry) -> bool {
    matches!(entry, Entry::Missing)
}

/// Uses an entry, or tells why it is passed over, where there is anything to tell.
fn consider(
    entry: &Entry,
    what: &str,
    now: Timestamp,
    resolution: &mut Resolution,
) -> Result<(), Option<PassedOver>> {
    let (created_at, expires_at) = match entry {
        Entry::Missing => return Err(None),
        Entry::Unusable(why) => {
            return Err(Some(PassedOver {
                why: format!("{what} cannot be used: {why}"),
                next: "",
            }));
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
            return Err(Some(PassedOver {
                why: format!("{what} expired on {day} and is not used"),
                next: RENEW,
            }));
        }
    }
    if created_at > now {
        warn(format!(
            "{what} was stored in the future, on {}: check the clock of this host",
            created_at.strftime("%Y-%m-%d")
        ));
    }
    resolution.expires_at = Some(expires_at);
    Ok(())
}

/// Uses the login, where there is one.
fn log_in(login: KnownLogin, now: Timestamp, resolution: &mut Resolution) {
    let KnownLogin::Dated(expires_at) = login else {
        return;
    };
    let left = expires_at.duration_since(now);
    if left > SignedDuration::ZERO {
        resolution.source = TokenSource::HostLogin;
        resolution.expires_at = Some(expires_at);
        return;
    }
    resolution.warnings.push(format!(
        "the login of this host expired on {}; run claude on this host, which renews it, then: \
         forage-ctl auth refresh --all",
        expires_at.strftime("%Y-%m-%d at %H:%M UTC")
    ));
}

/// Says what is used instead of what was passed over.
fn conclude(
    resolution: &mut Resolution,
    passed_over: Vec<PassedOver>,
    missing: bool,
    now: Timestamp,
) {
    let expires_at = resolution.expires_at.unwrap_or(now);
    let (instead, debug) = match resolution.source {
        TokenSource::TokenStore => ("", vec![STORED.to_owned()]),
        TokenSource::SharedTokenStore => (
            "falls back to the shared one of the configured user",
            vec![
                STORED.into(),
                "the token is the shared one of the configured user".into(),
            ],
        ),
        TokenSource::HostLogin => (
            "falls back to the login of this host",
            vec![
                format!(
                    "{READ}\texpiresIn={}",
                    in_go_form(expires_at.duration_since(now))
                ),
                SHORT_LIVED.into(),
            ],
        ),
        TokenSource::None => ("", vec!["found no usable Claude OAuth token".into()]),
    };
    resolution.debug = debug;
    let mut warnings: Vec<String> = passed_over
        .into_iter()
        .map(|PassedOver { why, next }| {
            let parts = [&*why, instead, next].into_iter();
            let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
            parts.join("; ")
        })
        .collect();
    warnings.append(&mut resolution.warnings);
    match resolution.source {
        TokenSource::HostLogin if missing => warnings.push(format!(
            "no long-lived Claude token is stored: {instead}, which expires in {}; {SET_UP}",
            in_go_form(expires_at.duration_since(now))
        )),
        TokenSource::None => warnings.push(format!(
            "no Claude token: Claude agents will say they are not logged in; {LOG_IN} {SET_UP}"
        )),
        _ => {}
    }
    resolution.warnings = warnings;
}

/// A time span as Go writes it: `7h25m0s`. To the minute, or to the second where it is shorter.
fn in_go_form(span: SignedDuration) -> String {
    let seconds = span.as_millis().max(0).saturating_add(500) / 1000;
    let seconds = match seconds {
        0..60 => seconds,
        _ => (seconds + 30) / 60 * 60,
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
