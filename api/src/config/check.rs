//! What a configuration must satisfy beyond its grammar. Each message names the key and the remedy.

use std::path::{Component, Path};

use super::{Agent, Base, Config, DeliveryMode, Network, PlannedCredential, Template};
use super::{config_dir, environment};
use crate::ident::{AgentName, SandboxName};
use crate::places;
use crate::provider::{Method, Provider};

/// Finds the first thing that is wrong.
pub(super) fn check(config: &Config) -> Result<(), String> {
    limits(config)?;
    if config
        .user
        .as_deref()
        .is_some_and(|user| user.is_empty() || user == "root")
    {
        return Err("user: it must be an ordinary user, not root".into());
    }
    for (name, path) in &config.secrets {
        if [places::TOKEN_FILE, places::CREDENTIAL_DIRECTORY].contains(&name.as_str()) {
            return Err(format!(
                "secrets.{name}: this name is that of a file of ours; choose another"
            ));
        }
        absolute(&format!("secrets.{name}"), path)?;
        if path.starts_with("/nix/store") {
            return Err(format!(
                "secrets.{name}: it is in the Nix store, where everybody can read it; name a file outside of it"
            ));
        }
    }
    for (name, template) in &config.templates {
        let key = format!("templates.{name}");
        paths(&key, template)?;
        if template.agent_uid == 0 || template.agent_gid == 0 {
            return Err(format!(
                "{key}: agentUid and agentGid cannot be 0; agents never run as root"
            ));
        }
        if template.agent_user.parse::<SandboxName>().is_err() {
            return Err(format!("{key}.agentUser: it is not a user name"));
        }
        if template.agent_user == "root" {
            return Err(format!("{key}.agentUser: agents never run as root"));
        }
        network(&key, template)?;
        for (agent, spec) in &template.agents {
            let key = format!("{key}.agents.{agent}");
            agent_keys(&key, config, agent, spec)?;
            config_dir::check_keys(&key, agent, spec, &template.agent_user)?;
        }
        config_dir::check_places(&key, template)?;
        environment::check(&key, template)?;
        credentials(&key, template)?;
    }
    Ok(())
}

fn limits(config: &Config) -> Result<(), String> {
    let ranges = [
        (
            "maxSandboxesPerUser",
            config.max_sandboxes_per_user,
            1..=4000,
        ),
        ("maxStartsPerUser", config.max_starts_per_user, 1..=256),
        ("maxStarts", config.max_starts, 1..=256),
        ("maxRequestsPerUser", config.max_requests_per_user, 1..=4096),
        ("maxRequests", config.max_requests, 1..=4096),
        ("startTimeout", config.start_timeout, 1..=600),
        ("stopTimeout", config.stop_timeout, 1..=15),
    ];
    for (key, value, range) in ranges {
        if !range.contains(&value) {
            return Err(format!(
                "{key}: it must be from {} to {}",
                range.start(),
                range.end()
            ));
        }
    }
    Ok(())
}

fn absolute(key: &str, path: &Path) -> Result<(), String> {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let text = path.to_str().unwrap_or_default();
    if path.is_absolute() && path.components().all(plain) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(format!(
            "{key}: it must be an absolute path without '..' or control characters"
        ))
    }
}

/// A path as Nix gives them to what it builds: a hash in its own base 32, and a name.
fn store_path(key: &str, path: &Path) -> Result<(), String> {
    const HASH: usize = 32;
    let base32 =
        |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase() && !b"eotu".contains(&byte);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
    let text = path
        .to_str()
        .and_then(|text| text.strip_prefix("/nix/store/"));
    let parts = text.and_then(|name| name.split_at_checked(HASH));
    let good = parts.is_some_and(|(hash, rest)| {
        let name = rest.strip_prefix('-').unwrap_or_default();
        hash.bytes().all(base32) && (1..=211).contains(&name.len()) && name.bytes().all(plain)
    });
    if good {
        Ok(())
    } else {
        Err(format!(
            "{key}: it must be a path directly below /nix/store, as nix-build prints it"
        ))
    }
}

fn paths(key: &str, template: &Template) -> Result<(), String> {
    match &template.base {
        Base::Tree { root, init } => {
            absolute(&format!("{key}.root"), root)?;
            absolute(&format!("{key}.init"), init)?;
        }
        Base::System { system } => store_path(&format!("{key}.system"), system)?,
    }
    let workspace = &template.workspace_path;
    absolute(&format!("{key}.workspacePath"), workspace)?;
    let taken = [
        "/proc", "/sys", "/dev", "/run", "/tmp", "/nix", "/usr", "/etc", "/bin", "/sbin", "/lib",
    ];
    if workspace == Path::new("/") || taken.iter().any(|system| workspace.starts_with(system)) {
        return Err(format!(
            "{key}.workspacePath: it would hide a part of the system; use /workspace"
        ));
    }
    let name = workspace.to_str().unwrap_or(":");
    if name.contains([':', '\\', ',', '"', ' ']) {
        return Err(format!(
            "{key}.workspacePath: use letters, digits, '-', '_', '.' and '/' only"
        ));
    }
    Ok(())
}

/// The most ports of the host one template may name.
const MAX_HOST_PORTS: usize = 64;

fn network(key: &str, template: &Template) -> Result<(), String> {
    let ports = &template.host_ports;
    if template.network == Network::None && !ports.is_empty() {
        return Err(format!(
            "{key}.hostPorts: a sandbox without a network reaches no port; set network = \"full\""
        ));
    }
    if ports.len() > MAX_HOST_PORTS {
        return Err(format!("{key}.hostPorts: at most {MAX_HOST_PORTS} ports"));
    }
    Ok(())
}

fn agent_keys(key: &str, config: &Config, name: &AgentName, agent: &Agent) -> Result<(), String> {
    absolute(&format!("{key}.command"), &agent.command)?;
    if let Some(secret) = &agent.secret_name {
        if !config.secrets.contains_key(secret) {
            return Err(format!(
                "{key}.secretName: there is no secret {secret}; add secrets.{secret} or correct the name"
            ));
        }
        if agent.credential(name).is_none() {
            return Err(format!(
                "{key}: secretName needs authEnvVar, the variable the agent reads the secret from"
            ));
        }
    } else if agent.auth_env_var.is_some() {
        return Err(format!(
            "{key}: authEnvVar needs secretName, the secret the variable carries"
        ));
    }
    delivery(key, name, agent)?;
    if agent
        .auth_env_var
        .as_ref()
        .is_some_and(|name| environment::is_reserved(name.as_str()))
    {
        return Err(format!(
            "{key}.authEnvVar: this variable has another meaning; choose the agent's own"
        ));
    }
    Ok(())
}

/// Only of Claude Code it is known how it reads a credential again.
fn delivery(key: &str, name: &AgentName, agent: &Agent) -> Result<(), String> {
    if agent.delivery == DeliveryMode::Env {
        return Ok(());
    }
    let Some(credential) = agent.credential(name) else {
        return Err(format!(
            "{key}.delivery: the agent gets no credential; leave delivery out, or give it a secretName"
        ));
    };
    let claude = credential.provider == Some(Provider::Claude);
    if claude && credential.method() != Method::Secret {
        return Ok(());
    }
    Err(format!(
        "{key}.delivery: only Claude agents with CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY read a \
         file again; use delivery = \"env\""
    ))
}

/// One credential per vendor, reaching the agents in one way, and one value per variable.
fn credentials(key: &str, template: &Template) -> Result<(), String> {
    let all: Vec<(&AgentName, PlannedCredential)> = template.credentials().collect();
    for (number, (agent, credential)) in all.iter().enumerate() {
        for (first, other) in &all[..number] {
            let vendor = credential.vendor().is_some() && credential.vendor() == other.vendor();
            if vendor && credential.plan != other.plan {
                return Err(format!(
                    "{key}: agents {first} and {agent} give one provider two credentials; use one for both"
                ));
            }
            let way = |one: &PlannedCredential| (one.delivery, one.variable.clone());
            if vendor && way(credential) != way(other) {
                return Err(format!(
                    "{key}: agents {first} and {agent} get one credential in two ways, of which \
                     one would hide the other; use the same delivery and authEnvVar for both"
                ));
            }
            if credential.variable == other.variable && credential.plan != other.plan {
                return Err(format!(
                    "{key}: agents {first} and {agent} give {} two values; use one secret for both",
                    credential.variable
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::load::from_toml;

    const BASE: &str = "[secrets]\ns = \"/s\"\nt = \"/t\"\n[templates.x]\nroot = \"/a\"\n";

    fn agent(name: &str, keys: &[&str]) -> String {
        let keys = keys.join("\n");
        format!("[templates.x.agents.{name}]\ncommand = \"/a\"\n{keys}\n")
    }

    const FILE: &str = "delivery = \"file\"";
    const KEY: &str = "secretName = \"s\"";

    #[test]
    fn deliveries_that_work() {
        for agents in [
            agent("claude", &[FILE]),
            agent("claude", &[FILE, KEY]),
            agent(
                "claude",
                &[FILE, KEY, "authEnvVar = \"CLAUDE_CODE_OAUTH_TOKEN\""],
            ),
            agent("b", &[FILE, "provider = \"claude\""]),
            agent("claude", &[FILE]) + &agent("b", &[FILE, "provider = \"claude\""]),
            agent("claude", &[FILE]) + &agent("codex", &[KEY]),
            agent("codex", &["delivery = \"env\"", KEY]),
        ] {
            from_toml(&format!("{BASE}{agents}")).unwrap();
        }
    }

    #[test]
    fn deliveries_that_do_not() {
        for (agents, expected) in [
            (agent("codex", &[FILE, KEY]), "only Claude agents"),
            (agent("gemini", &[FILE, KEY]), "only Claude agents"),
            (agent("opencode", &[FILE, KEY]), "only Claude agents"),
            (agent("aider", &[FILE, KEY]), "only Claude agents"),
            (
                agent("claude", &[FILE, KEY, "authEnvVar = \"MINE\""]),
                "only Claude agents",
            ),
            (agent("b", &[FILE]), "gets no credential"),
            (agent("b", &["delivery = \"proxy\""]), "delivery: not valid"),
            (
                agent("claude", &[]) + &agent("b", &[FILE, "provider = \"claude\""]),
                "in two ways",
            ),
            (
                agent("claude", &[FILE, KEY])
                    + &agent("b", &[KEY, "authEnvVar = \"ANTHROPIC_API_KEY\""]),
                "in two ways",
            ),
            (
                agent("claude", &[FILE, KEY])
                    + &agent(
                        "b",
                        &[FILE, KEY, "authEnvVar = \"CLAUDE_CODE_OAUTH_TOKEN\""],
                    ),
                "in two ways",
            ),
        ] {
            let error = from_toml(&format!("{BASE}{agents}")).unwrap_err();
            assert!(error.contains(expected), "{agents} gave {error}");
        }
    }

    #[test]
    fn what_the_nixos_module_refuses_is_refused_here_too() {
        for (text, expected) in [
            (
                "[secrets]\na = \"/nix/store/0-key\"",
                "secrets.a: it is in the Nix store",
            ),
            (
                "[secrets]\na = \"/nix//store/0-key\"",
                "secrets.a: it is in the Nix store",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nagentUser = \"root\"",
                "templates.x.agentUser: agents never run as root",
            ),
        ] {
            let error = from_toml(text).unwrap_err();
            assert!(error.contains(expected), "{text} gave {error}");
        }
        assert!(from_toml("[secrets]\na = \"/nix/store2/key\"").is_ok());
    }

    #[test]
    fn a_secret_is_not_named_as_a_file_of_ours() {
        for (name, expected) in [
            ("claude-oauth-token", "a file of ours"),
            ("claude-credentials", "a file of ours"),
            ("\".credentials.json\"", "not valid"),
            ("\".claude-credentials.new\"", "not valid"),
            ("\"claude-credentials/x\"", "not valid"),
            ("\"..\"", "not valid"),
        ] {
            let error = from_toml(&format!("[secrets]\n{name} = \"/s\"\n")).unwrap_err();
            assert!(error.contains(expected), "{name} gave {error}");
        }
    }
}
