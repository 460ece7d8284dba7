//! `/etc/firefly-forage/config.toml`: what the operator declared. Keys are spelt as the Nix options;
//! unknown keys are errors. `docs/configuration.md` describes each for users.

mod check;
mod config_dir;
mod environment;
mod limits;
mod load;
mod network;
mod size;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ident::{AgentName, EnvName, SecretName, TemplateName, VariableName};
use crate::places;
use crate::provider::{self, Method, Provider, Vendor};

pub use config_dir::ConfigDir;
pub use limits::{CpuQuota, MemoryMax, ResourceLimits, TasksMax};
pub use load::{ConfigError, MAX_BYTES, load, parse};
pub use network::{HostPort, InvalidPort, InvalidRange, Network, Range4, Range6, Transport};
pub use size::Size;
pub use template::Base;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The user whose token lies at `tokens/claude-oauth.json`.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether other members of the group fall back to the user's token.
    #[serde(default)]
    pub share_token: bool,
    /// How many sandboxes one user may have.
    #[serde(default = "defaults::sandboxes_per_user")]
    pub max_sandboxes_per_user: u32,
    /// How many sandboxes of one user may be starting at a time; more wait.
    #[serde(default = "defaults::starts_per_user")]
    pub max_starts_per_user: u32,
    /// How many sandboxes may be starting at a time in all; more wait.
    #[serde(default = "defaults::starts")]
    pub max_starts: u32,
    /// How many requests of one user may be in flight.
    #[serde(default = "defaults::requests_per_user")]
    pub max_requests_per_user: u32,
    /// How many requests may be in flight in all.
    #[serde(default = "defaults::requests")]
    pub max_requests: u32,
    /// Seconds a sandbox has to become ready.
    #[serde(default = "defaults::start_timeout")]
    pub start_timeout: u32,
    /// Seconds a sandbox's services have to stop before they are killed.
    #[serde(default = "defaults::stop_timeout")]
    pub stop_timeout: u32,
    /// Where sandboxes with a network have their IPv4 addresses from.
    #[serde(default = "defaults::address_range")]
    pub address_range: Range4,
    /// Where sandboxes with a network have their IPv6 addresses from.
    #[serde(default = "defaults::address_range6")]
    pub address_range6: Range6,
    /// Secret files by name.
    #[serde(default)]
    pub secrets: BTreeMap<SecretName, PathBuf>,
    /// Templates by name.
    #[serde(default)]
    pub templates: BTreeMap<TemplateName, Template>,
}

/// What an empty file says: no template, and every limit at its default.
impl Default for Config {
    fn default() -> Self {
        Self {
            user: None,
            share_token: false,
            max_sandboxes_per_user: defaults::sandboxes_per_user(),
            max_starts_per_user: defaults::starts_per_user(),
            max_starts: defaults::starts(),
            max_requests_per_user: defaults::requests_per_user(),
            max_requests: defaults::requests(),
            start_timeout: defaults::start_timeout(),
            stop_timeout: defaults::stop_timeout(),
            address_range: defaults::address_range(),
            address_range6: defaults::address_range6(),
            secrets: BTreeMap::new(),
            templates: BTreeMap::new(),
        }
    }
}

/// What a sandbox is made from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "template::Keys")]
pub struct Template {
    /// One line for `forage-ctl templates`.
    pub description: String,
    /// What the sandbox's root is made of.
    pub base: Base,
    /// Which network a sandbox has.
    pub network: Network,
    /// Ports of the host that a sandbox with a network may reach, at its gateway's address.
    pub host_ports: Vec<HostPort>,
    /// How much a sandbox may write to its root (a tmpfs) before it is full.
    pub root_size: Size,
    /// The user agents run as: its name in the sandbox.
    pub agent_user: String,
    /// The uid of that user.
    pub agent_uid: u16,
    /// The gid of that user.
    pub agent_gid: u16,
    /// What a sandbox may use of the host.
    pub resource_limits: ResourceLimits,
    /// Where the workspace is seen in the sandbox.
    pub workspace_path: PathBuf,
    /// Variables set for everything that user runs; no secrets.
    pub environment: BTreeMap<VariableName, String>,
    /// Agents by name.
    pub agents: BTreeMap<AgentName, Agent>,
}

/// A program that needs a credential.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// The program in the sandbox, an absolute path.
    pub command: PathBuf,
    /// The secret the agent uses. It rules out every other source.
    #[serde(default)]
    pub secret_name: Option<SecretName>,
    /// The variable the secret arrives in.
    #[serde(default)]
    pub auth_env_var: Option<EnvName>,
    /// Whose program it is; by default told from the agent's name and variable.
    #[serde(default)]
    pub provider: Option<Provider>,
    /// How the credential reaches the agent.
    #[serde(default)]
    pub delivery: DeliveryMode,
    /// The agent's directory on the host, of which the sandbox gets a copy.
    #[serde(default)]
    pub host_config_dir: Option<PathBuf>,
    /// Where the sandbox sees it.
    #[serde(default)]
    pub container_config_dir: Option<PathBuf>,
    /// Whether the copy follows the host's and cannot be written.
    #[serde(default)]
    pub host_config_dir_read_only: bool,
    /// How much it may hold.
    #[serde(default)]
    pub host_config_dir_max_size: Option<Size>,
}

/// How a credential reaches an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMode {
    /// In a variable that is set when the agent is launched: a new value is used at its next launch.
    #[default]
    Env,
    /// In a file the agent reads again: a new value is used by the processes that run.
    File,
}

impl DeliveryMode {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
        }
    }
}

/// What a credential's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileForm {
    /// The value as it is.
    Value,
    /// Claude Code's credential file with the value as its access token.
    ClaudeCredentials,
}

/// Where an agent's credential comes from, as the template says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialPlan {
    /// A secret file, and nothing else.
    Secret(SecretName),
    /// The token store.
    Token,
}

/// An agent's credential as the template plans it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCredential {
    /// Where the value comes from.
    pub plan: CredentialPlan,
    /// The variable in which the agent looks for such a value.
    pub variable: EnvName,
    /// How it reaches the agent.
    pub delivery: DeliveryMode,
    /// Whose program the agent is.
    pub provider: Option<Provider>,
}

impl PlannedCredential {
    /// The file that carries the value, below `/run/secrets`.
    pub fn file_name(&self) -> &str {
        match (&self.plan, self.form()) {
            (_, FileForm::ClaudeCredentials) => places::CREDENTIAL_FILE,
            (CredentialPlan::Secret(name), FileForm::Value) => name.as_str(),
            (CredentialPlan::Token, FileForm::Value) => places::TOKEN_FILE,
        }
    }

    /// What that file holds.
    pub fn form(&self) -> FileForm {
        match (self.delivery, self.method()) {
            (DeliveryMode::File, Method::OauthToken) => FileForm::ClaudeCredentials,
            _ => FileForm::Value,
        }
    }

    /// The variable that carries the value, where one does.
    pub fn exported(&self) -> Option<&EnvName> {
        (self.delivery == DeliveryMode::Env).then_some(&self.variable)
    }

    /// What kind of credential it is.
    pub fn method(&self) -> Method {
        Method::of_variable(&self.variable)
    }

    /// Who it is for, where that is known.
    pub fn vendor(&self) -> Option<Vendor> {
        Vendor::of_variable(&self.variable).or_else(|| self.provider?.vendor())
    }

    /// The variables that lead an agent to a value that is in no variable.
    pub fn pointers(&self) -> Vec<(&'static str, String)> {
        match (self.delivery, self.method()) {
            (DeliveryMode::Env, _) => Vec::new(),
            (DeliveryMode::File, Method::OauthToken) => {
                let directory = places::CREDENTIAL_DIRECTORY;
                let path = format!("{}/{directory}", places::INSIDE_SECRETS);
                vec![(provider::CLAUDE_CREDENTIAL_DIRECTORY, path)]
            }
            (DeliveryMode::File, Method::ApiKey | Method::Secret) => {
                let milliseconds = provider::CLAUDE_HELPER_TTL_MS.to_string();
                vec![(provider::CLAUDE_HELPER_TTL, milliseconds)]
            }
        }
    }

    /// The variables that compete with the credential and must not reach the agent.
    pub fn competing(&self) -> Vec<&'static str> {
        let kept = self.exported().map(EnvName::as_str);
        let pointers = self.pointers();
        let vendor = self.vendor().map_or(&[][..], Vendor::variables);
        let own = self.provider.map_or(&[][..], Provider::variables);
        let every = vendor.iter().chain(own);
        every
            .copied()
            .filter(|name| Some(*name) != kept && pointers.iter().all(|(kept, _)| kept != name))
            .collect()
    }
}

impl Agent {
    /// The provider, by key, by the agent's name, or by the variable it reads.
    pub fn provider(&self, name: &AgentName) -> Option<Provider> {
        let by_variable = || Provider::of_variable(self.auth_env_var.as_ref()?);
        self.provider
            .or_else(|| Provider::of_agent(name))
            .or_else(by_variable)
    }

    /// How the agent gets its credential; `None` where it needs none.
    pub fn credential(&self, name: &AgentName) -> Option<PlannedCredential> {
        let provider = self.provider(name);
        let fixed = |name: &str| name.parse::<EnvName>().ok();
        if let Some(secret) = &self.secret_name {
            let default = || provider.and_then(|p| fixed(p.secret_variable()));
            let variable = self.auth_env_var.clone().or_else(default)?;
            return Some(PlannedCredential {
                plan: CredentialPlan::Secret(secret.clone()),
                variable,
                delivery: self.delivery,
                provider,
            });
        }
        let variable = fixed(provider?.token_variable()?)?;
        Some(PlannedCredential {
            plan: CredentialPlan::Token,
            variable,
            delivery: self.delivery,
            provider,
        })
    }
}

impl Template {
    /// Every agent that gets a credential, with how.
    pub fn credentials(&self) -> impl Iterator<Item = (&AgentName, PlannedCredential)> {
        self.agents
            .iter()
            .filter_map(|(name, agent)| Some((name, agent.credential(name)?)))
    }

    /// Tells whether an agent of this template takes a token of the token store.
    pub fn uses_token(&self) -> bool {
        self.credentials()
            .any(|(_, credential)| credential.plan == CredentialPlan::Token)
    }
}

mod defaults {
    use super::{PathBuf, Range4, Range6, Size};

    pub(super) const fn sandboxes_per_user() -> u32 {
        64
    }
    pub(super) const fn starts_per_user() -> u32 {
        4
    }
    pub(super) const fn starts() -> u32 {
        8
    }
    pub(super) const fn requests_per_user() -> u32 {
        64
    }
    pub(super) const fn requests() -> u32 {
        256
    }
    pub(super) const fn start_timeout() -> u32 {
        60
    }
    pub(super) const fn stop_timeout() -> u32 {
        10
    }
    pub(super) const fn address_range() -> Range4 {
        Range4::DEFAULT
    }
    pub(super) const fn address_range6() -> Range6 {
        Range6::DEFAULT
    }
    pub(super) const fn root_size() -> Size {
        Size::gibibytes(4)
    }
    pub(super) fn agent_user() -> String {
        "agent".into()
    }
    pub(super) const fn agent_id() -> u16 {
        1000
    }
    pub(super) fn workspace_path() -> PathBuf {
        "/workspace".into()
    }
    pub(super) fn init() -> PathBuf {
        "/sbin/init".into()
    }
}
