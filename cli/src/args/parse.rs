//! Reads the command line. A refusal never repeats what looks like a token, and escapes what would
//! act on a terminal.

use std::error::Error as _;
use std::ffi::OsString;

use clap::Parser as _;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use forage_api::exit;

use super::Cli;
use crate::Error;
use crate::output::{self, escape};

/// Help, the version, or why a command line was refused.
#[derive(Debug)]
pub struct Refusal {
    error: clap::Error,
    /// Whether the command line holds what is not fit to be repeated.
    odd: bool,
}

/// Reads the command line.
///
/// # Errors
/// What is to be printed instead of running a verb: a refusal, help or the version.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let odd = arguments.iter().any(|argument| {
        let text = argument.to_string_lossy();
        let shown = redacted(&escape::lines(&text));
        shown != text
    });
    Cli::try_parse_from(arguments).map_err(|mut error| {
        if is_command_without_dashes(&error) {
            let tip = StyledStr::from("the command stands after '--': exec NAME -- CMD...");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        Refusal { error, odd }
    })
}

/// Other tools take the command without `--`.
fn is_command_without_dashes(error: &clap::Error) -> bool {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => !word.starts_with('-'),
        _ => false,
    };
    let usage = || error.get(ContextKind::Usage).map(ToString::to_string);
    word && error.kind() == ErrorKind::UnknownArgument
        && usage().is_some_and(|usage| usage.contains("forage-ctl exec "))
}

impl Refusal {
    /// Prints it, and gives the exit code.
    pub fn print(&self) -> u8 {
        let code = if self.error.use_stderr() {
            exit::USAGE
        } else {
            exit::OK
        };
        match self.replacement() {
            Some(Shown::Error(error)) => output::error(&error),
            Some(Shown::Text(text)) => output::note(&text),
            None => {
                // Nobody is left to tell when the reader of the help is gone.
                let _ignored = self.error.print();
            }
        }
        code
    }

    /// What to print instead of clap's own text, where that is not fit to be seen.
    fn replacement(&self) -> Option<Shown> {
        if self.error.kind() == ErrorKind::ValueValidation
            && let Some(source) = self.error.source()
        {
            let hint = "forage-ctl help has the details";
            return Some(Shown::Error(Error::usage(source.to_string()).hint(hint)));
        }
        (self.odd && self.error.use_stderr()).then(|| {
            let plain = self.error.render().to_string();
            Shown::Text(redacted(&escape::lines(&plain)))
        })
    }
}

#[derive(Debug, PartialEq)]
enum Shown {
    Error(Error),
    Text(String),
}

/// The text with everything that looks like a token of the vendor cut to its prefix.
fn redacted(text: &str) -> String {
    const PREFIX: &str = "sk-ant-";
    let mut parts = text.split(PREFIX);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let secret = |c: char| c.is_ascii_alphanumeric() || "-_.#=+/~".contains(c);
        shown.push_str(PREFIX);
        shown.push('…');
        shown.push_str(part.trim_start_matches(secret));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{ClaudeVerb, TokenVerb, Verb};

    fn refusal(line: &[&str]) -> Refusal {
        let words = ["forage-ctl"].iter().chain(line).map(OsString::from);
        parse(words).unwrap_err()
    }

    #[test]
    fn names_are_checked_before_anything_is_asked() {
        for line in [
            &["up", "S 1", "-t", "claude"][..],
            &["up", "s1", "-t", "../x"],
            &["exec", "\x1b[2J", "--", "true"],
        ] {
            let Some(Shown::Error(error)) = refusal(line).replacement() else {
                panic!("{line:?}");
            };
            assert_eq!(error.exit, 2);
            assert!(error.message.contains("is not valid: use 1 to"), "{error}");
            assert!(!error.message.contains('\x1b'));
        }
    }

    #[test]
    fn a_token_in_a_wrong_place_is_not_repeated() {
        for line in [
            &["claude", "token", "sk-ant-oat01-CANARY"][..],
            &["claude", "token", "remove", "sk-ant-oat01-CANARY"],
            &["sk-ant-oat01-CANARY"],
        ] {
            let Some(Shown::Text(text)) = refusal(line).replacement() else {
                panic!("{line:?}");
            };
            assert!(!text.contains("CANARY"), "{text}");
            assert!(text.contains("sk-ant-…'"), "{text}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        let Some(Shown::Text(text)) = refusal(&["ps", "a\x1b[2J\u{202e}b"]).replacement() else {
            panic!();
        };
        assert!(text.contains(r"'a\u{202e}b'"), "{text}");
        assert!(refusal(&["ps", "x"]).replacement().is_none());
        assert!(refusal(&["--help"]).replacement().is_none());
    }

    #[test]
    fn bytes_of_a_command_are_kept() {
        use std::os::unix::ffi::OsStringExt as _;
        let odd = OsString::from_vec(b"\xff --bind=/:/x".to_vec());
        let line = ["forage-ctl", "exec", "s1", "-e", "A==", "-w", "/", "--"];
        let line = line.iter().map(OsString::from);
        let line = line.chain([odd.clone(), "--".into(), "-v".into()]);
        let cli = parse(line).unwrap();
        assert!(!cli.global.verbose);
        let Verb::Exec(exec) = cli.verb else { panic!() };
        assert_eq!(exec.command, [odd, "--".into(), "-v".into()]);
        assert_eq!(exec.environment, ["A=="]);
        assert_eq!(refusal(&["exec", "s1", "--"]).error.exit_code(), 2);
    }

    #[test]
    fn a_command_without_dashes_brings_a_tip() {
        let tip = "tip: the command stands after '--'";
        for (line, expected) in [
            (&["exec", "s1", "true"][..], true),
            (&["exec", "-it", "s1", "ls", "-l"], true),
            (&["exec", "s1", "--nope"], false),
            (&["ps", "true"], false),
        ] {
            let error = refusal(line).error;
            assert_eq!(error.exit_code(), 2);
            assert_eq!(error.to_string().contains(tip), expected, "{error}");
        }
    }

    #[test]
    fn a_number_of_lines_is_a_number() {
        for bad in ["x", "-1", "1.5", ""] {
            let Some(Shown::Error(error)) = refusal(&["logs", "s1", "-n", bad]).replacement()
            else {
                panic!("{bad:?}");
            };
            assert_eq!(error.message, "--lines takes a whole number");
        }
    }

    #[test]
    fn a_dash_is_a_token_argument() {
        let line = ["forage-ctl", "claude", "token", "store", "-"].map(OsString::from);
        let Verb::Claude(claude) = parse(line).unwrap().verb else {
            panic!()
        };
        let ClaudeVerb::Token(token) = claude.verb;
        let TokenVerb::Store(store) = token.verb else {
            panic!()
        };
        assert_eq!(store.token, ["-"]);
        let both = ["claude", "token", "store", "-", "--file", "x"];
        assert_eq!(refusal(&both).error.exit_code(), 2);
    }
}
