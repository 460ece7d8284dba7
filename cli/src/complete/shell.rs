//! The shells that know how to ask, and how each wants its answer.

use clap::ValueEnum;
use clap_complete::CompletionCandidate;

use super::REQUEST;

/// A shell that completes command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shell| shell.name() == name)
    }

    /// The script that has it ask `forage-ctl`.
    pub fn script(self) -> String {
        let script = match self {
            Self::Bash => include_str!("scripts/bash"),
            Self::Zsh => include_str!("scripts/zsh"),
            Self::Fish => include_str!("scripts/fish"),
        };
        let request = format!("forage-ctl {REQUEST} {}", self.name());
        script.replace("@REQUEST@", &request)
    }

    /// The name a package gives the file of the script.
    pub fn file(self) -> &'static str {
        match self {
            Self::Bash => "forage-ctl.bash",
            Self::Zsh => "_forage-ctl",
            Self::Fish => "forage-ctl.fish",
        }
    }

    /// A candidate as this shell's script reads it.
    pub(super) fn line(self, candidate: &CompletionCandidate) -> String {
        let value = candidate.get_value().to_string_lossy();
        let help = candidate.get_help().map(ToString::to_string);
        let help = help.as_deref().and_then(|help| help.lines().next());
        match (self, help) {
            (Self::Zsh, Some(help)) => {
                format!("{}:{}\n", colons(&value), help.replace('\\', "\\\\"))
            }
            (Self::Zsh, None) => format!("{}\n", colons(&value)),
            (Self::Fish, Some(help)) => format!("{value}\t{help}\n"),
            (Self::Fish, None) | (Self::Bash, _) => format!("{value}\n"),
        }
    }
}

fn colons(value: &str) -> String {
    value.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_by_shell() {
        let with = |help: &str| CompletionCandidate::new("a:b").help(Some(help.to_owned().into()));
        let helped = with("one: \\\ntwo");
        assert_eq!(Shell::Bash.line(&helped), "a:b\n");
        assert_eq!(Shell::Zsh.line(&helped), "a\\:b:one: \\\\\n");
        assert_eq!(Shell::Fish.line(&helped), "a:b\tone: \\\n");
        let plain = CompletionCandidate::new("a");
        for shell in Shell::ALL {
            assert_eq!(shell.line(&plain), "a\n");
            assert_eq!(Shell::named(shell.name()), Some(shell));
            assert_eq!(Shell::from_str(shell.name(), false), Ok(shell));
            assert!(
                shell
                    .script()
                    .contains(&format!("__complete {}", shell.name()))
            );
        }
    }
}
