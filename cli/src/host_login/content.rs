//! What the file of a login says. What is wrong is told without a word of it.

use forage_api::Secret;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::output::moment;

/// The scope without which a token is of no use to an agent.
const INFERENCE: &str = "user:inference";
/// Times before this are no milliseconds: 1973 in these, the year 5138 in seconds.
const NO_MILLISECONDS: i64 = 100_000_000_000;
/// Logins last some hours, tokens a year. What is later than this is not believed, as by the daemon.
const LATEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The longest token that is taken; they have about a hundred characters.
const LONGEST: usize = 4096;

/// A login that can be used now.
pub(super) struct Found {
    pub(super) token: Secret,
    pub(super) expires_at_ms: i64,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(rename = "claudeAiOauth", borrow)]
    login: Option<Written<'a>>,
}

/// Text is borrowed from the buffer, which is wiped; what would need a copy is refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    access_token: Option<&'a str>,
    refresh_token: Option<IgnoredAny>,
    expires_at: Option<Value>,
    #[serde(borrow)]
    scopes: Option<Vec<&'a str>>,
}

/// The login in the content of a file; `None` where nobody has logged in.
pub(super) fn login(content: &[u8], now: Timestamp) -> Result<Option<Found>, String> {
    if content.trim_ascii().is_empty() {
        return Err("is empty".into());
    }
    // What the parser says may quote what it read.
    let file: File<'_> = serde_json::from_slice(content).map_err(|_| {
        "is not what Claude Code writes: it is no JSON, or one of its values is of another kind"
    })?;
    let Some(written) = file.login else {
        return Ok(None);
    };
    let token = match (written.access_token, written.refresh_token) {
        (None | Some(""), Some(_)) => {
            return Err("holds a refresh token only, which no sandbox is given".into());
        }
        (None | Some(""), None) => return Err("holds no access token".into()),
        (Some(token), _) => checked(token)?,
    };
    let expires_at_ms = expiry(written.expires_at.as_ref(), now)?;
    match written.scopes.as_deref() {
        None | Some([]) => {
            Err("lists no scopes; Claude Code would not take it for a login, either".into())
        }
        Some(scopes) if !scopes.contains(&INFERENCE) => Err(format!(
            "is of a login without the scope {INFERENCE}, which agents need"
        )),
        Some(_) => Ok(Some(Found {
            token: Secret::joined(&[token.as_bytes()]),
            expires_at_ms,
        })),
    }
}

fn checked(token: &str) -> Result<&str, &'static str> {
    if token.starts_with("sk-ant-ort") {
        return Err("holds a refresh token in place of the access token");
    }
    if token.starts_with("sk-ant-api") {
        return Err("holds an API key in place of the access token");
    }
    if token.len() > LONGEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds an access token that is too long or has odd characters");
    }
    Ok(token)
}

fn expiry(written: Option<&Value>, now: Timestamp) -> Result<i64, String> {
    let ms = match written {
        None | Some(Value::Null) => return Err("does not say when its login expires".into()),
        Some(Value::Number(number)) => number.as_i64(),
        Some(_) => None,
    };
    let Some(ms) = ms else {
        return Err("says when its login expires, but not as a whole number".into());
    };
    if (0..NO_MILLISECONDS).contains(&ms) {
        return Err(
            "says when its login expires in seconds, where milliseconds are expected".into(),
        );
    }
    let believed = |time: &Timestamp| time.duration_since(now) <= LATEST;
    let Some(time) = Timestamp::from_millisecond(ms).ok().filter(believed) else {
        return Err("says that its login expires at a time that is not believable".into());
    };
    if time <= now {
        let ago = moment::until(&time.to_string(), now).unwrap_or_default();
        return Err(format!(
            "is of a login that {ago}; run claude on the host, which renews it"
        ));
    }
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_773_954_000_000;

    fn of(content: &str) -> Result<Option<Found>, String> {
        login(
            content.as_bytes(),
            Timestamp::from_millisecond(NOW).unwrap(),
        )
    }

    fn with(fields: &str) -> Result<Option<Found>, String> {
        of(&format!(r#"{{"claudeAiOauth":{{{fields}}}}}"#))
    }

    const TOKEN: &str = r#""accessToken":"sk-ant-oat01-CANARY""#;
    const SCOPES: &str = r#""scopes":["user:profile","user:inference"]"#;

    #[test]
    fn a_login() {
        let expires = NOW + 1;
        let more = r#""refreshToken":"sk-ant-ort01-CANARY","subscriptionType":"max","x":[{}]"#;
        let found = with(&format!(r#"{more},{TOKEN},"expiresAt":{expires},{SCOPES}"#));
        let found = found.ok().unwrap().unwrap();
        assert_eq!(found.token.expose(), b"sk-ant-oat01-CANARY");
        assert_eq!(found.expires_at_ms, expires);
        let none = [r#"{}"#, r#"{"claudeAiOauth":null}"#, r#"{"mcpOAuth":{}}"#];
        assert!(none.iter().all(|content| matches!(of(content), Ok(None))));
    }

    #[test]
    fn odd_expiries() {
        for (expires, says) in [
            (r#""1773979200000""#, "not as a whole number"),
            ("1773979200000.5", "not as a whole number"),
            ("1e999", "it is no JSON"),
            ("[]", "not as a whole number"),
            ("18446744073709551615", "not as a whole number"),
            ("null", "does not say when"),
            ("1773979200", "in seconds, where milliseconds"),
            ("0", "in seconds"),
            ("-1", "expired "),
            (
                "1773950400000",
                "expired 1 h 0 min ago; run claude on the host",
            ),
            ("1773954000000", "expired 0 min ago"),
            ("253402300799000", "not believable"),
            ("253402300800000", "not believable"),
            ("9223372036854775807", "not believable"),
            ("-9223372036854775808", "not believable"),
        ] {
            let why = with(&format!(r#"{TOKEN},"expiresAt":{expires},{SCOPES}"#));
            let why = why.err().unwrap();
            assert!(why.contains(says), "{expires}: {why}");
        }
    }

    #[test]
    fn odd_files_are_told_without_their_content() {
        let expires = format!(r#""expiresAt":{}"#, NOW + 1);
        let long = format!(r#""accessToken":"{}""#, "CANARY".repeat(1000));
        for (fields, says) in [
            (format!("{expires},{SCOPES}"), "holds no access token"),
            (
                format!(r#""accessToken":"","refreshToken":"CANARY",{expires},{SCOPES}"#),
                "holds a refresh token only",
            ),
            (
                format!(r#""accessToken":"sk-ant-ort01-CANARY",{expires},{SCOPES}"#),
                "in place of the access token",
            ),
            (
                format!(r#""accessToken":"sk-ant-api03-CANARY",{expires},{SCOPES}"#),
                "holds an API key",
            ),
            (format!("{long},{expires},{SCOPES}"), "too long or has odd"),
            (
                format!(r#""accessToken":"CANARY CANARY",{expires},{SCOPES}"#),
                "odd characters",
            ),
            (
                format!(r#""accessToken":"CANARY\n",{expires},{SCOPES}"#),
                "of another kind",
            ),
            (
                format!(r#""accessToken":["CANARY"],{expires},{SCOPES}"#),
                "of another kind",
            ),
            (
                format!("{TOKEN},{TOKEN},{expires},{SCOPES}"),
                "another kind",
            ),
            (format!("{TOKEN},{SCOPES}"), "does not say when"),
            (format!("{TOKEN},{expires}"), "lists no scopes"),
            (
                format!(r#"{TOKEN},{expires},"scopes":[]"#),
                "lists no scopes",
            ),
            (
                format!(r#"{TOKEN},{expires},"scopes":["user:profile"]"#),
                "without the scope user:inference",
            ),
        ] {
            let why = with(&fields).err().unwrap();
            assert!(why.contains(says), "{fields}: {why}");
            assert!(!why.contains("CANARY"), "{why}");
        }
        for content in ["CANARY", "{\"claudeAiOauth\":{", "[]", "\u{feff}{}", "\0"] {
            let why = of(content).err().unwrap();
            assert!(why.contains("is not what Claude Code writes"), "{why}");
            assert!(!why.contains("CANARY"), "{why}");
        }
        let deep = "[".repeat(60_000);
        assert!(of(&deep).is_err());
    }
}
