//! The table of AI providers: where a program of theirs looks for a credential, and which other
//! variables would silently win over the one that is delivered.

use serde::{Deserialize, Serialize};

use crate::ident::{AgentName, EnvName};

/// Whose programs an agent belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Claude Code, with a subscription token or an Anthropic API key.
    Claude,
}

impl Provider {
    /// The provider an agent of this name has when the template names none.
    pub fn of_agent(name: &AgentName) -> Option<Self> {
        (name.as_str() == "claude").then_some(Self::Claude)
    }

    /// The provider whose programs take a credential from a variable.
    pub fn of_variable(name: &EnvName) -> Option<Self> {
        let known = Self::Claude.credential_variables();
        known.contains(&name.as_str()).then_some(Self::Claude)
    }

    /// The variable that carries a token of the token store.
    pub const fn token_variable(self) -> &'static str {
        match self {
            Self::Claude => "CLAUDE_CODE_OAUTH_TOKEN",
        }
    }

    /// The variable that carries a secret file where the template names none.
    pub const fn secret_variable(self) -> &'static str {
        match self {
            Self::Claude => "ANTHROPIC_API_KEY",
        }
    }

    /// Every variable the provider's programs take a credential from. All but the delivered one
    /// are blanked, since a stray one silently outranks it.
    pub const fn credential_variables(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &[
                "CLAUDE_CODE_USE_BEDROCK",
                "CLAUDE_CODE_USE_VERTEX",
                "CLAUDE_CODE_USE_FOUNDRY",
                "ANTHROPIC_AUTH_TOKEN",
                "ANTHROPIC_API_KEY",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
                "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR",
            ],
        }
    }

    /// The variables that make the provider's programs behave in a sandbox. Not among them:
    /// `CLAUDE_CODE_SUBPROCESS_ENV_SCRUB`, with which Claude Code ends at once where there is no
    /// bubblewrap.
    pub const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Claude => &[
                ("DISABLE_AUTOUPDATER", "1"),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ],
        }
    }
}

/// The variables that compete with `delivered` and must not reach the agent.
pub fn competing(provider: Option<Provider>, delivered: &EnvName) -> Vec<&'static str> {
    provider
        .map_or(&[][..], Provider::credential_variables)
        .iter()
        .copied()
        .filter(|name| *name != delivered.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_tells_its_provider() {
        let of = |name: &str| Provider::of_variable(&name.parse().unwrap());
        assert_eq!(of("ANTHROPIC_API_KEY"), Some(Provider::Claude));
        assert_eq!(of("OPENAI_API_KEY"), None);
    }

    #[test]
    fn the_delivered_variable_does_not_compete_with_itself() {
        let delivered: EnvName = "CLAUDE_CODE_OAUTH_TOKEN".parse().unwrap();
        let names = competing(Some(Provider::Claude), &delivered);
        assert!(names.contains(&"ANTHROPIC_API_KEY"));
        assert!(!names.contains(&"CLAUDE_CODE_OAUTH_TOKEN"));
        assert!(competing(None, &delivered).is_empty());
    }
}
