//! Reading a token as people paste it. What is refused and what is only warned about is in the table
//! of the tests; no message repeats any part of what was given.

use forage_api::{ErrorKind, Failure, Secret};

/// How long tokens of `claude setup-token` are, with room for change.
const USUAL_LENGTH: std::ops::RangeInclusive<usize> = 90..=130;
const MARK: &[u8] = b"sk-ant-";
const PREFIX: &[u8] = b"sk-ant-oat";

/// A token that can be stored.
pub(crate) struct Pasted {
    /// The token.
    pub(crate) token: Secret,
    /// What looks odd about it.
    pub(crate) warnings: Vec<String>,
}

/// Reads a token.
pub(crate) fn read(text: &[u8]) -> Result<Pasted, Failure> {
    let joined = joined(text);
    let token = joined.expose();
    if token.is_empty() {
        return Err(refused("the token is empty"));
    }
    kind(token)?;
    characters(text)?;
    if text.trim_ascii().iter().any(u8::is_ascii_whitespace) && !is_one_token(token) {
        return Err(refused(
            "there is white space inside, and the rest does not read as one token",
        ));
    }
    let warnings = oddities(token);
    Ok(Pasted {
        token: joined,
        warnings,
    })
}

/// Judges the access token of a login, which no person copied.
pub(crate) fn login(token: &[u8]) -> Result<(), Failure> {
    let again = |failure: Failure| failure.hint("log in on this host again: claude auth login");
    kind(token).map_err(again)?;
    if token.iter().copied().all(is_token_character) {
        return Ok(());
    }
    let message = "there are characters in the login's access token that no token has";
    Err(again(Failure::new(ErrorKind::InvalidToken, message)))
}

/// The text without white space.
fn joined(text: &[u8]) -> Secret {
    let parts: Vec<&[u8]> = text.split(u8::is_ascii_whitespace).collect();
    Secret::joined(&parts)
}

/// Refuses credentials of other kinds.
fn kind(token: &[u8]) -> Result<(), Failure> {
    if contains(token, b"sk-ant-ort") {
        return Err(Failure::new(
            ErrorKind::InvalidToken,
            "this holds a refresh token, which must never enter a sandbox",
        )
        .hint("make a long-lived token with: claude setup-token"));
    }
    if contains(token, b"sk-ant-api") {
        return Err(Failure::new(
            ErrorKind::InvalidToken,
            "this is an API key, not a token of a subscription",
        )
        .hint(
            "declare it as a secret file instead: secrets.<name>, and secretName = \"<name>\" \
             with authEnvVar = \"ANTHROPIC_API_KEY\" for the agent",
        ));
    }
    Ok(())
}

/// Refuses what no token consists of.
fn characters(text: &[u8]) -> Result<(), Failure> {
    if text.contains(&b'#') {
        return Err(refused(
            "there is a '#' in it: that and what follows is not part of a token",
        ));
    }
    let white = |c: &u8| c.is_ascii_whitespace();
    if text
        .iter()
        .any(|c| !c.is_ascii() || (c.is_ascii_control() && !white(c)))
    {
        return Err(refused("there are control or non-ASCII characters in it"));
    }
    if text.iter().any(|c| !white(c) && !is_token_character(*c)) {
        return Err(refused(
            "there are characters in it that no token has: tokens are of a-z, A-Z, 0-9, '-' and '_'",
        ));
    }
    Ok(())
}

fn is_token_character(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'-' || c == b'_'
}

/// Tells whether this reads as exactly one token.
fn is_one_token(token: &[u8]) -> bool {
    token.starts_with(PREFIX) && !contains(&token[1..], MARK)
}

fn oddities(token: &[u8]) -> Vec<String> {
    let mut warnings = Vec::new();
    if !token.starts_with(PREFIX) {
        warnings.push(
            "the token does not begin as those of claude setup-token do; it is stored as it is"
                .into(),
        );
    }
    if !USUAL_LENGTH.contains(&token.len()) {
        warnings.push(format!(
            "the token has {} characters where about 108 are usual; it is stored as it is",
            token.len()
        ));
    }
    warnings
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn refused(message: &str) -> Failure {
    Failure::new(ErrorKind::InvalidToken, message)
        .hint("copy only the token that claude setup-token printed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usual() -> String {
        format!("sk-ant-oat01-{}", "aB3-_xyz".repeat(12))
    }

    fn stored(text: &str) -> (String, usize) {
        let pasted = read(text.as_bytes())
            .map_err(|failure| failure.message)
            .unwrap();
        let token = String::from_utf8(pasted.token.expose().to_vec()).unwrap();
        (token, pasted.warnings.len())
    }

    #[test]
    fn accepted() {
        let usual = usual();
        let (head, tail) = usual.split_at(60);
        for (text, expected, warnings) in [
            (usual.clone(), &*usual, 0),
            (format!("  {usual}\r\n"), &usual, 0),
            (format!("{head}\n{tail}"), &usual, 0),
            (format!("{head}\r\n   {tail}\n"), &usual, 0),
            (format!("{head} \t{tail}"), &usual, 0),
            ("sk-ant-oat01-short".into(), "sk-ant-oat01-short", 1),
            (
                format!("sk-new-{}", "x".repeat(100)),
                &format!("sk-new-{}", "x".repeat(100)),
                1,
            ),
            ("x".into(), "x", 2),
        ] {
            let (token, odd) = stored(&text);
            assert_eq!(token, expected, "{text:?}");
            assert_eq!(odd, warnings, "{text:?}");
        }
    }

    #[test]
    fn refusals() {
        let usual = usual();
        for (text, words) in [
            (String::new(), "empty"),
            (" \n\t ".into(), "empty"),
            (format!("{usual}#state"), "'#'"),
            (format!("{usual}\n#state"), "'#'"),
            ("sk-ant-api03-xyz".into(), "API key"),
            ("sk-ant-ort01-xyz".into(), "refresh token"),
            (
                format!("{{\"accessToken\":\"{usual}\",\"refreshToken\":\"sk-ant-ort01-x\"}}"),
                "refresh token",
            ),
            (format!("{usual}\n{usual}"), "does not read as one token"),
            (format!("{usual} sk-ant-x"), "does not read as one token"),
            ("hello\nworld".into(), "does not read as one token"),
            (format!("token\n{usual}"), "does not read as one token"),
            (format!("token: {usual}"), "characters"),
            (format!("\"{usual}\""), "characters"),
            (format!("{usual}\0"), "control or non-ASCII"),
            (format!("\x1b[200~{usual}"), "control or non-ASCII"),
            (format!("{usual}é"), "control or non-ASCII"),
        ] {
            let failure = read(text.as_bytes()).err().unwrap();
            assert_eq!(failure.kind, ErrorKind::InvalidToken, "{text:?}");
            assert!(failure.message.contains(words), "{text:?}: {failure}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_a_token_or_a_refusal(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(pasted) = read(&text) {
                prop_assert!(!pasted.token.is_empty());
                prop_assert!(pasted.token.expose().iter().copied().all(is_token_character));
            }
        }

        #[test]
        fn no_message_repeats_what_was_given(
            head in "[ -~]{0,20}", secret in "CANARY[a-zA-Z0-9]{8}", tail in "[ -~\n#]{0,20}",
        ) {
            let text = format!("{head}{secret}{tail}");
            let said = match read(text.as_bytes()) {
                Ok(pasted) => pasted.warnings.join("\n"),
                Err(failure) => format!("{}{}", failure.message, failure.hint),
            };
            prop_assert!(!said.contains(&secret), "{said}");
        }

        #[test]
        fn a_wrapped_token_is_joined(at in 1_usize..80, gap in "[ \t]{0,3}\r?\n[ \t]{0,3}") {
            let usual = usual();
            let (head, tail) = usual.split_at(at);
            prop_assert_eq!(stored(&format!("{head}{gap}{tail}")).0, usual);
        }
    }
}
