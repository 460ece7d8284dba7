//! Names people or the daemon choose. Each type can only be made from text that is safe in a path,
//! a unit name, a table and a log line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given} is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    given: String,
    rule: &'static str,
}

const LABEL_RULE: &str =
    "use 1 to 32 of a-z, 0-9 and '-', beginning and ending with a letter or digit";
const WORD_RULE: &str =
    "use 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.', beginning with a letter, digit or '_'";
const VARIABLE_RULE: &str = "use 1 to 64 of A-Z, 0-9 and '_', beginning with a letter";
const SHELL_VARIABLE_RULE: &str =
    "use 1 to 64 of a-z, A-Z, 0-9 and '_', beginning with a letter or '_'";

/// Shows foreign text: escaped, and cut where it would flood a terminal or a journal.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 64;
    let mut shown: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

fn is_label(text: &str) -> bool {
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 32
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|&c| c == b'-' || edge(Some(&c)))
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes
            .first()
            .is_some_and(|&c| c.is_ascii_alphanumeric() || c == b'_')
        && bytes
            .iter()
            .all(|&c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
}

fn is_variable(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(u8::is_ascii_uppercase)
        && bytes
            .iter()
            .all(|&c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
}

fn is_shell_variable(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes
            .first()
            .is_some_and(|&c| c.is_ascii_alphabetic() || c == b'_')
        && bytes
            .iter()
            .all(|&c| c.is_ascii_alphanumeric() || c == b'_')
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, given: quoted(text), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type! {
    /// The name a person gives a sandbox, unique per owner.
    SandboxName, "sandbox name", is_label, LABEL_RULE
}
name_type! {
    /// The name of a template in the configuration.
    TemplateName, "template name", is_word, WORD_RULE
}
name_type! {
    /// The name of an agent in a template.
    AgentName, "agent name", is_word, WORD_RULE
}
name_type! {
    /// The name of a secret in the configuration, and of its file in a sandbox.
    SecretName, "secret name", is_word, WORD_RULE
}
name_type! {
    /// The name of an environment variable that carries a credential.
    EnvName, "variable name", is_variable, VARIABLE_RULE
}
name_type! {
    /// The name of an environment variable a template sets.
    VariableName, "variable name", is_shell_variable, SHELL_VARIABLE_RULE
}

/// A sandbox's id: 8 hex digits, made by the daemon and never used twice at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SandboxId(u32);

impl SandboxId {
    /// Makes an id from a random number.
    pub const fn new(random: u32) -> Self {
        Self(random)
    }

    /// The number it was made from.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for SandboxId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| text.len() == 8 && text.bytes().all(lower_hex))
            .map(Self)
            .ok_or_else(|| InvalidName {
                what: "sandbox id",
                given: quoted(text),
                rule: "it is 8 of 0-9 and a-f",
            })
    }
}

impl TryFrom<String> for SandboxId {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<SandboxId> for String {
    fn from(id: SandboxId) -> String {
        id.to_string()
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A sandbox's place in the window of uids that belongs to this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Slot(u32);

impl Slot {
    /// The uids (and gids) each slot has.
    pub const SIZE: u32 = 0x1_0000;
    const FIRST_UID: u32 = 0x7000_0000;
    const LAST_UID: u32 = 0x7FFC_0000;
    /// How many slots the window has.
    pub const COUNT: u32 = (Self::LAST_UID - Self::FIRST_UID) / Self::SIZE + 1;

    /// The host uid (and gid) that is root in the sandbox.
    pub const fn base(self) -> u32 {
        Self::FIRST_UID + self.0 * Self::SIZE
    }

    /// All slots, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl TryFrom<u32> for Slot {
    type Error = InvalidName;
    fn try_from(number: u32) -> Result<Self, InvalidName> {
        if number < Self::COUNT {
            Ok(Self(number))
        } else {
            Err(InvalidName {
                what: "uid slot",
                given: number.to_string(),
                rule: "it lies outside the window of the project's uids",
            })
        }
    }
}

impl From<Slot> for u32 {
    fn from(slot: Slot) -> u32 {
        slot.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_names_are_labels() {
        for good in ["a", "s1", "a-b", "con--x", "0", &"x".repeat(32)] {
            assert!(good.parse::<SandboxName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "-a",
            "a-",
            "@",
            "%n",
            "\\x2d",
            "a\n",
            "a\0",
            "\x1b[31m",
            "ѕ1",
            "\u{202e}a",
            "A",
            "a.",
            "a.service",
            "a b",
            &"x".repeat(33),
        ] {
            assert!(bad.parse::<SandboxName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_and_variables() {
        for bad in ["", ".", "..", ".x", "-x", "a/b", "a b", "ä"] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad:?}");
        }
        assert!("Anthropic_api.key-2".parse::<SecretName>().is_ok());
        for bad in ["", "a", "1A", "A-B", "A=B", "A B", "_A"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad:?}");
        }
        assert!("ANTHROPIC_API_KEY".parse::<EnvName>().is_ok());
    }

    #[test]
    fn errors_escape_what_was_given() {
        let error = "\x1b[2J".parse::<SandboxName>().unwrap_err().to_string();
        assert!(!error.contains('\x1b'), "{error}");
        assert!(
            "x".repeat(9999)
                .parse::<SandboxName>()
                .unwrap_err()
                .to_string()
                .len()
                < 300
        );
    }

    #[test]
    fn ids_are_eight_lower_hex() {
        assert_eq!(
            "0000abcd".parse::<SandboxId>().unwrap().to_string(),
            "0000abcd"
        );
        for bad in ["", "abc", "0000ABCD", "+000abcd", "0000abcdd", "0000abcg"] {
            assert!(bad.parse::<SandboxId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slots_stay_inside_the_window() {
        assert_eq!(Slot::try_from(0).unwrap().base(), 0x7000_0000);
        let last = Slot::all().last().unwrap();
        assert_eq!(last.base() + (Slot::SIZE - 1), 0x7FFC_FFFF);
        assert!(Slot::try_from(Slot::COUNT).is_err());
    }
}
