//! What the file of a credential holds: the value as it is, or Claude Code's own credential file with
//! the value as its access token.

use forage_api::Secret;
use forage_api::config::FileForm;
use jiff::Timestamp;

/// What stands for the expiry of a token of which none is known. It never changes, so that the same
/// token makes the same file.
const NO_EXPIRY_MS: i64 = 4_102_444_800_000;

const NOT_A_TOKEN: &str =
    "it is not one token: there are spaces, quotes or other odd characters in it";
const REFRESH_TOKEN: &str =
    "it is a refresh token, which must stay on the host: two that hold one log each other out";

/// What is written for a value; `None` where that is the value itself.
///
/// # Errors
/// The value has no place in such a file; the words do not quote it.
pub(super) fn render(
    form: FileForm,
    value: &Secret,
    expires_at: Option<Timestamp>,
) -> Result<Option<Secret>, &'static str> {
    match form {
        FileForm::Value => Ok(None),
        FileForm::ClaudeCredentials => claude_credentials(value, expires_at).map(Some),
    }
}

/// Claude Code reads a token from there if it has an expiry that is yet to come, in milliseconds, and
/// scopes. Without a refresh token it never writes the file.
fn claude_credentials(
    value: &Secret,
    expires_at: Option<Timestamp>,
) -> Result<Secret, &'static str> {
    let token = bare(value);
    // What tokens are made of needs no escaping.
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
    if token.is_empty() || !token.iter().all(plain) {
        return Err(NOT_A_TOKEN);
    }
    if token.starts_with(b"sk-ant-ort") {
        return Err(REFRESH_TOKEN);
    }
    let expires = expires_at.map_or(NO_EXPIRY_MS, Timestamp::as_millisecond);
    let end = format!("\",\"expiresAt\":{expires},\"scopes\":[\"user:inference\"]}}}}\n");
    let parts = [
        &b"{\"claudeAiOauth\":{\"accessToken\":\""[..],
        token,
        end.as_bytes(),
    ];
    Ok(Secret::joined(&parts))
}

/// A value without the white space around it, which editors and secret managers put there.
pub(super) fn bare(value: &Secret) -> &[u8] {
    value.expose().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str, expires_at: Option<&str>) -> Result<serde_json::Value, &'static str> {
        let expires_at = expires_at.map(|text| text.parse().unwrap());
        let value = Secret::new(value.as_bytes().to_vec());
        let text = render(FileForm::ClaudeCredentials, &value, expires_at)?.unwrap();
        Ok(serde_json::from_slice(text.expose()).unwrap())
    }

    #[test]
    fn an_access_token_its_expiry_and_nothing_else() {
        for (value, expires_at, expected) in [
            ("sk-ant-oat01-x", None, 4_102_444_800_000_i64),
            (
                " sk-ant-oat01-x\r\n\n",
                Some("2026-03-19T21:00:00Z"),
                1_773_954_000_000,
            ),
            (
                "sk-ant-oat01-x",
                Some("9999-12-30T22:00:00Z"),
                253_402_207_200_000,
            ),
        ] {
            let expected = serde_json::json!({"claudeAiOauth": {
                "accessToken": "sk-ant-oat01-x",
                "expiresAt": expected,
                "scopes": ["user:inference"],
            }});
            assert_eq!(written(value, expires_at).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_token_is_not_put_into_it() {
        for bad in [
            "",
            " \n",
            "a b",
            "a\nb",
            "{\"claudeAiOauth\":{}}",
            "a\\b",
            "ü",
            "a\0b",
        ] {
            assert_eq!(written(bad, None).unwrap_err(), NOT_A_TOKEN, "{bad:?}");
        }
        let refused = written("sk-ant-ort01-x", None).unwrap_err();
        assert_eq!(refused, REFRESH_TOKEN);
    }

    #[test]
    fn a_plain_file_is_the_value_itself() {
        let value = Secret::new(b" any\0thing\n".to_vec());
        let text = render(FileForm::Value, &value, None).unwrap();
        assert!(text.is_none());
        assert_eq!(bare(&value), b"any\0thing");
    }
}
