//! The logins of owners on this host: the access token of each, as its owner handed it over. They live
//! in memory alone: a login is short, and its owner's next call brings it again.

use std::collections::BTreeMap;

use forage_api::{ErrorKind, Failure, Secret};
use jiff::{SignedDuration, Timestamp};

use super::token_text;

/// Of how many owners something is known.
const MOST: usize = 1024;
/// How long a login may last: the vendor's last hours, so what claims to last longer is a mistake.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The login of one owner.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) token: Secret,
    pub(crate) expires_at: Timestamp,
}

impl Login {
    fn is_like(&self, other: &Self) -> bool {
        self.expires_at == other.expires_at && self.token.expose() == other.token.expose()
    }
}

/// What is known of the login of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownLogin {
    /// Nothing: its owner has not spoken of it since the daemon began.
    Unknown,
    /// That there is none.
    Missing,
    /// There is one, which expires then.
    Dated(Timestamp),
}

/// The logins, by owner. `None`: its owner said that there is none.
#[derive(Default)]
pub(crate) struct Logins(BTreeMap<u32, Option<Login>>);

impl Logins {
    /// What is known of an owner's login, and its token.
    pub(crate) fn of(&self, owner: u32) -> (KnownLogin, Secret) {
        match self.0.get(&owner) {
            None => (KnownLogin::Unknown, Secret::default()),
            Some(None) => (KnownLogin::Missing, Secret::default()),
            Some(Some(login)) => (KnownLogin::Dated(login.expires_at), login.token.clone()),
        }
    }

    /// Tells whether an owner's word says something new.
    pub(crate) fn is_news(&self, owner: u32, login: Option<&Login>) -> bool {
        match (self.0.get(&owner), login) {
            (Some(None), None) => false,
            (Some(Some(old)), Some(new)) => !old.is_like(new),
            _ => true,
        }
    }

    /// Takes an owner's word.
    pub(crate) fn set(
        &mut self,
        owner: u32,
        login: Option<Login>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if !self.0.contains_key(&owner) && self.0.len() >= MOST {
            self.0
                .retain(|_, login| login.as_ref().is_some_and(|one| one.expires_at > now));
            if self.0.len() >= MOST {
                let message = format!("the logins of {MOST} users are known, and that is the most");
                return Err(Failure::new(ErrorKind::LimitReached, message));
            }
        }
        self.0.insert(owner, login);
        Ok(())
    }
}

/// Judges what an owner offers; empty says that there is no login.
pub(crate) fn judge(
    token: Secret,
    expires_at_ms: i64,
    now: Timestamp,
) -> Result<Option<Login>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    token_text::login(token.expose())?;
    let expires_at = Timestamp::from_millisecond(expires_at_ms).map_err(|_| odd_expiry())?;
    let left = expires_at.duration_since(now);
    if left > LONGEST || expires_at < Timestamp::UNIX_EPOCH {
        return Err(odd_expiry());
    }
    if left <= SignedDuration::ZERO {
        let message = format!(
            "the login of this host expired on {}",
            expires_at.strftime("%Y-%m-%d at %H:%M UTC")
        );
        return Err(Failure::new(ErrorKind::InvalidToken, message)
            .hint("run claude on this host, which renews it, then try again"));
    }
    Ok(Some(Login { token, expires_at }))
}

fn odd_expiry() -> Failure {
    let message = "the expiry of the login is not one that a login has: it has to be in milliseconds \
                   since 1970, and not more than a year from now";
    Failure::new(ErrorKind::InvalidToken, message)
        .hint("log in on this host again: claude auth login")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn token(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn expiries() {
        let usual = || token("sk-ant-oat01-abc");
        let good = ms("2026-06-01T19:25:00Z");
        let login = judge(usual(), good, now()).ok().flatten().unwrap();
        assert_eq!(login.expires_at.to_string(), "2026-06-01T19:25:00Z");
        for (expires_at_ms, words) in [
            (i64::MIN, "not one that"),
            (i64::MAX, "not one that"),
            (-1, "not one that"),
            (0, "expired on 1970-01-01"),
            (ms("2026-06-01T12:00:00Z"), "expired on 2026-06-01 at 12:00"),
            // Seconds where milliseconds are meant.
            (good / 1000, "expired on 1970-01-21"),
            (ms("9999-12-30T00:00:00Z"), "not one that"),
            (253_402_300_800_000, "not one that"),
        ] {
            let failure = judge(usual(), expires_at_ms, now()).err().unwrap();
            assert_eq!(failure.kind, ErrorKind::InvalidToken, "{expires_at_ms}");
            assert!(
                failure.message.contains(words),
                "{expires_at_ms}: {failure}"
            );
        }
        // Without a token its expiry means nothing.
        assert!(
            judge(Secret::default(), i64::MAX, now())
                .unwrap_or_default()
                .is_none()
        );
    }

    #[test]
    fn other_credentials_are_refused_and_not_repeated() {
        for (text, words) in [
            ("sk-ant-ort01-CANARY", "refresh token"),
            ("sk-ant-api03-CANARY", "API key"),
            ("sk-ant-oat01-CANARY\n", "characters"),
            ("sk-ant-oat01 CANARY", "characters"),
            ("sk-ant-oat01-\u{e9}CANARY", "characters"),
            ("\0CANARY", "characters"),
        ] {
            let failure = judge(token(text), ms("2026-06-01T19:25:00Z"), now())
                .err()
                .unwrap();
            assert_eq!(failure.kind, ErrorKind::InvalidToken, "{text:?}");
            assert!(failure.message.contains(words), "{text:?}: {failure}");
            assert!(!format!("{failure:?}").contains("CANARY"), "{failure:?}");
        }
    }

    #[test]
    fn so_many_owners_and_no_more() {
        let login = |hour: &str| {
            let at = format!("2026-06-01T{hour}:00:00Z");
            Some(Login {
                token: token("sk-ant-oat01-abc"),
                expires_at: at.parse().unwrap(),
            })
        };
        let mut logins = Logins::default();
        for owner in 1..=1024 {
            assert!(logins.is_news(owner, login("20").as_ref()));
            logins.set(owner, login("20"), now()).unwrap();
        }
        assert!(!logins.is_news(7, login("20").as_ref()));
        assert!(logins.is_news(7, login("21").as_ref()));
        assert!(logins.is_news(7, None));
        logins.set(7, login("21"), now()).unwrap();
        let full = logins.set(2000, login("20"), now()).unwrap_err();
        assert_eq!(full.kind, ErrorKind::LimitReached);
        // What has expired, or is not there, makes room.
        logins.set(8, None, now()).unwrap();
        logins.set(2000, login("20"), now()).unwrap();
        assert_eq!(logins.of(8).0, KnownLogin::Unknown);
        assert_eq!(logins.of(9).1.expose(), b"sk-ant-oat01-abc");
    }
}
