//! The table of AI providers: where a program of theirs looks for a credential, and which other
//! variables would silently win over the one that is delivered.

use serde::{Deserialize, Serialize};

use crate::ident::{AgentName, EnvName};

/// The variable that names the directory of Claude Code's credential file.
pub const CLAUDE_CREDENTIAL_DIRECTORY: &str = "CLAUDE_SECURESTORAGE_CONFIG_DIR";
/// The variable that says after how many milliseconds Claude Code asks its `apiKeyHelper` again.
pub const CLAUDE_HELPER_TTL: &str = "CLAUDE_CODE_API_KEY_HELPER_TTL_MS";
/// Where a sandbox finds how Claude Code asks for a key, and the file's name: the last of the directory,
/// in the order Claude Code reads it.
pub const CLAUDE_MANAGED_SETTINGS: (&str, &str) =
    ("/etc/claude-code/managed-settings.d", "zz-forage.json");
/// How long Claude Code may use a key before it asks again, in milliseconds.
pub const CLAUDE_HELPER_TTL_MS: u32 = 5000;

/// Whose program an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Claude Code, with a subscription token or an Anthropic API key.
    Claude,
    /// Codex, with an OpenAI API key.
    Codex,
    /// Gemini CLI, with a Gemini API key.
    Gemini,
    /// opencode, with a key of any vendor; Anthropic's where the template names no variable.
    Opencode,
    /// aider, with a key of any vendor; Anthropic's where the template names no variable.
    Aider,
}

/// Who a credential is for. An agent gets one credential of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// Anthropic.
    Anthropic,
    /// OpenAI.
    OpenAi,
    /// Google.
    Google,
}

/// What kind of credential a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A token of a subscription.
    OauthToken,
    /// A vendor's API key.
    ApiKey,
    /// Something else that an agent reads.
    Secret,
}

impl Method {
    /// What a variable carries.
    pub fn of_variable(name: &EnvName) -> Self {
        match (name.as_str(), Vendor::of_variable(name)) {
            ("CLAUDE_CODE_OAUTH_TOKEN", _) => Self::OauthToken,
            (_, Some(_)) => Self::ApiKey,
            (_, None) => Self::Secret,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OauthToken => "oauth-token",
            Self::ApiKey => "api-key",
            Self::Secret => "secret",
        }
    }
}

impl Vendor {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::OpenAi, Self::Google];

    /// Who the credential in a variable is for.
    pub fn of_variable(name: &EnvName) -> Option<Self> {
        let known = |vendor: &Self| vendor.variables().contains(&name.as_str());
        Self::ALL.into_iter().find(known)
    }

    /// Every variable that a program takes a credential of theirs from, or that makes it use another
    /// one. All but the delivered one are blanked, since a stray one silently outranks it.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Anthropic => &[
                "CLAUDE_CODE_USE_BEDROCK",
                "CLAUDE_CODE_USE_VERTEX",
                "CLAUDE_CODE_USE_FOUNDRY",
                "CLAUDE_CODE_USE_ANTHROPIC_AWS",
                "CLAUDE_CODE_USE_MANTLE",
                "CLAUDE_CODE_USE_GATEWAY",
                "ANTHROPIC_UNIX_SOCKET",
                "ANTHROPIC_AUTH_TOKEN",
                "ANTHROPIC_API_KEY",
                "ANTHROPIC_PROFILE",
                "ANTHROPIC_CONFIG_DIR",
                "ANTHROPIC_FEDERATION_RULE_ID",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
                "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
                "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR",
                "CLAUDE_CODE_HOST_AUTH_ENV_VAR",
                "CLAUDE_CODE_REMOTE",
                CLAUDE_CREDENTIAL_DIRECTORY,
                "AIDER_ANTHROPIC_API_KEY",
            ],
            Self::OpenAi => &[
                "OPENAI_API_KEY",
                "CODEX_API_KEY",
                "CODEX_ACCESS_TOKEN",
                "AIDER_OPENAI_API_KEY",
            ],
            Self::Google => &[
                "GEMINI_API_KEY",
                "GOOGLE_API_KEY",
                "GOOGLE_GENERATIVE_AI_API_KEY",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_CLOUD_ACCESS_TOKEN",
                "GOOGLE_GENAI_USE_VERTEXAI",
                "GOOGLE_GENAI_USE_GCA",
                "GEMINI_CLI_USE_COMPUTE_ADC",
                "GEMINI_DEFAULT_AUTH_TYPE",
            ],
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
            Self::Google => "Google",
        }
    }
}

impl Provider {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Claude,
        Self::Codex,
        Self::Gemini,
        Self::Opencode,
        Self::Aider,
    ];

    /// The word for it, in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Aider => "aider",
        }
    }

    /// Variables by which its program takes a credential of any vendor. They are blanked, too.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Opencode => &["OPENCODE_AUTH_CONTENT"],
            Self::Aider => &["AIDER_API_KEY", "AIDER_SET_ENV"],
            Self::Claude | Self::Codex | Self::Gemini => &[],
        }
    }

    /// The provider an agent of this name has when the template names none.
    pub fn of_agent(name: &AgentName) -> Option<Self> {
        let named = |provider: &Self| provider.as_str() == name.as_str();
        Self::ALL.into_iter().find(named)
    }

    /// The provider whose programs alone take a credential from a variable.
    pub fn of_variable(name: &EnvName) -> Option<Self> {
        let claude = Vendor::of_variable(name) == Some(Vendor::Anthropic);
        claude.then_some(Self::Claude)
    }

    /// The variable that carries a token of the token store; `None` where none does.
    pub const fn token_variable(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some("CLAUDE_CODE_OAUTH_TOKEN"),
            Self::Codex | Self::Gemini | Self::Opencode | Self::Aider => None,
        }
    }

    /// The variable that carries a secret file where the template names none. Of codex it is the one that
    /// it reads by itself; `OPENAI_API_KEY` it reads where its configuration says so.
    pub const fn secret_variable(self) -> &'static str {
        match self {
            Self::Claude | Self::Opencode | Self::Aider => "ANTHROPIC_API_KEY",
            Self::Codex => "CODEX_API_KEY",
            Self::Gemini => "GEMINI_API_KEY",
        }
    }

    /// The vendor its programs always need a credential of.
    pub const fn vendor(self) -> Option<Vendor> {
        match self {
            Self::Claude => Some(Vendor::Anthropic),
            Self::Codex => Some(Vendor::OpenAi),
            Self::Gemini => Some(Vendor::Google),
            Self::Opencode | Self::Aider => None,
        }
    }

    /// The variable that names the directory of its program's configuration, and what that directory
    /// is called in the user's home where the variable is not set.
    pub const fn config_directory(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Claude => Some(("CLAUDE_CONFIG_DIR", ".claude")),
            Self::Codex => Some(("CODEX_HOME", ".codex")),
            Self::Gemini | Self::Opencode | Self::Aider => None,
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
            Self::Codex | Self::Gemini | Self::Opencode | Self::Aider => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> EnvName {
        name.parse().unwrap()
    }

    #[test]
    fn a_variable_tells_what_it_carries() {
        for (name, vendor, method) in [
            ("ANTHROPIC_API_KEY", Some(Vendor::Anthropic), Method::ApiKey),
            (
                "CLAUDE_CODE_OAUTH_TOKEN",
                Some(Vendor::Anthropic),
                Method::OauthToken,
            ),
            ("OPENAI_API_KEY", Some(Vendor::OpenAi), Method::ApiKey),
            ("GEMINI_API_KEY", Some(Vendor::Google), Method::ApiKey),
            ("MY_TOKEN", None, Method::Secret),
        ] {
            let name = variable(name);
            assert_eq!(Vendor::of_variable(&name), vendor);
            assert_eq!(Method::of_variable(&name), method);
        }
    }
}
