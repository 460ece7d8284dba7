//! An agent's configuration directory: which one of the owner's it is made from, where it is seen,
//! and which of them go together in a template.

use std::path::{Component, Path, PathBuf};

use super::{Agent, Size, Template};
use crate::ident::AgentName;

/// How much a configuration directory may hold where the template does not say it.
const MAX_SIZE: Size = Size::mebibytes(256);

/// A configuration directory as the template plans it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDir {
    /// The agent it is for; the first of those that share it.
    pub agent: AgentName,
    /// The owner's directory: an absolute path, or one that begins with `~`, the owner's home.
    pub source: PathBuf,
    /// Where the sandbox sees it.
    pub inside: PathBuf,
    /// Whether it follows the owner's and cannot be written.
    pub read_only: bool,
    /// How much it may hold.
    pub max_size: Size,
}

impl ConfigDir {
    /// Whether it lies in the owner's home.
    pub fn is_in_home(&self) -> bool {
        self.source.starts_with("~")
    }

    /// The owner's directory, given the owner's home.
    pub fn source_in(&self, home: &Path) -> PathBuf {
        let below = self.source.strip_prefix("~");
        below.map_or_else(|_| self.source.clone(), |below| home.join(below))
    }
}

impl Agent {
    /// The agent's configuration directory; `None` where it has none of the owner's.
    pub fn config_dir(&self, name: &AgentName, agent_user: &str) -> Option<ConfigDir> {
        let source = self.host_config_dir.clone()?;
        let by_default = || home(agent_user).join(source.file_name().unwrap_or_default());
        let inside = self.container_config_dir.clone().unwrap_or_else(by_default);
        Some(ConfigDir {
            agent: name.clone(),
            inside,
            source,
            read_only: self.host_config_dir_read_only,
            max_size: self.host_config_dir_max_size.unwrap_or(MAX_SIZE),
        })
    }

    /// The variable that leads the agent's program to its configuration directory, what that is called
    /// in the agent's home where the variable is not needed, and the directory.
    pub fn config_variable(
        &self,
        name: &AgentName,
        agent_user: &str,
    ) -> Option<(&'static str, &'static str, PathBuf)> {
        let (variable, by_default) = self.provider(name)?.config_directory()?;
        let planned = self.config_dir(name, agent_user)?;
        Some((variable, by_default, planned.inside))
    }
}

impl Template {
    /// The configuration directories of its agents, in a fixed order; what agents share is there once.
    pub fn config_dirs(&self) -> Vec<ConfigDir> {
        let mut all: Vec<ConfigDir> = Vec::new();
        for (name, agent) in &self.agents {
            let planned = agent.config_dir(name, &self.agent_user);
            all.extend(planned.filter(|new| all.iter().all(|old| old.inside != new.inside)));
        }
        all
    }
}

/// The home of agents.
fn home(agent_user: &str) -> PathBuf {
    Path::new("/home").join(agent_user)
}

/// Checks the keys of one agent.
pub(super) fn check_keys(
    key: &str,
    name: &AgentName,
    agent: &Agent,
    agent_user: &str,
) -> Result<(), String> {
    let Some(planned) = agent.config_dir(name, agent_user) else {
        let given = [
            (agent.container_config_dir.is_some(), "containerConfigDir"),
            (agent.host_config_dir_read_only, "hostConfigDirReadOnly"),
            (
                agent.host_config_dir_max_size.is_some(),
                "hostConfigDirMaxSize",
            ),
        ];
        return match given.iter().find(|(given, _)| *given) {
            Some((_, other)) => Err(format!(
                "{key}: {other} needs hostConfigDir, the directory of the host it is about"
            )),
            None => Ok(()),
        };
    };
    source(&format!("{key}.hostConfigDir"), &planned.source)?;
    let given = agent.container_config_dir.is_some();
    inside(key, given, &planned.inside, agent_user)
}

fn source(key: &str, path: &Path) -> Result<(), String> {
    let mut parts = path.components();
    let rooted = match parts.next() {
        Some(Component::RootDir) => true,
        Some(Component::Normal(first)) => first == "~",
        _ => false,
    };
    let names: Vec<Component<'_>> = parts.collect();
    let plain = names
        .iter()
        .all(|part| matches!(part, Component::Normal(_)));
    if !rooted || !plain || !is_text(path) {
        return Err(format!(
            "{key}: it must be a path that begins with ~/ (the owner's home) or /, without '..' or \
             control characters"
        ));
    }
    if names.is_empty() {
        return Err(format!(
            "{key}: name the agent's own directory, such as ~/.claude"
        ));
    }
    Ok(())
}

/// Parts of a system that a directory of an agent's has no business in.
const TAKEN: &[&str] = &[
    "/proc", "/sys", "/dev", "/run", "/tmp", "/nix", "/usr", "/etc", "/bin", "/sbin", "/lib",
    "/lib32", "/lib64", "/libx32", "/boot", "/root", "/var",
];

fn inside(key: &str, given: bool, path: &Path, agent_user: &str) -> Result<(), String> {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) || !is_text(path) {
        return Err(format!(
            "{key}.containerConfigDir: it must be an absolute path without '..' or control characters"
        ));
    }
    let home = home(agent_user);
    if home.starts_with(path) || TAKEN.iter().any(|system| path.starts_with(system)) {
        return Err(format!(
            "{key}.containerConfigDir: it would hide a part of the system or the agent's home; use a \
             directory of its own, such as {}/.config/agent",
            home.display()
        ));
    }
    if path
        .to_str()
        .is_none_or(|text| text.contains([':', '\\', ',', '"', ' ']))
    {
        let what = "use letters, digits, '-', '_', '.' and '/' only";
        return Err(if given {
            format!("{key}.containerConfigDir: {what}")
        } else {
            format!(
                "{key}.hostConfigDir: its name cannot be used in the sandbox; set containerConfigDir ({what})"
            )
        });
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|text| !text.chars().any(char::is_control))
}

/// Checks that the directories of a template do not get into each other's way.
pub(super) fn check_places(key: &str, template: &Template) -> Result<(), String> {
    let user = &template.agent_user;
    for (name, agent) in &template.agents {
        if let Some((variable, ..)) = agent.config_variable(name, user)
            && template
                .environment
                .keys()
                .any(|set| set.as_str() == variable)
        {
            return Err(format!(
                "{key}.environment.{variable}: agent {name} is led to its configuration directory by it; \
                 remove it, or set containerConfigDir"
            ));
        }
    }
    let planned = |(name, agent): (&AgentName, &Agent)| agent.config_dir(name, user);
    let all: Vec<ConfigDir> = template.agents.iter().filter_map(planned).collect();
    let overlap = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    for (number, one) in all.iter().enumerate() {
        let agent = &one.agent;
        if overlap(&one.inside, &template.workspace_path) {
            return Err(format!(
                "{key}.agents.{agent}: its containerConfigDir overlaps the workspace; choose another"
            ));
        }
        for other in &all[..number] {
            if one.inside != other.inside && overlap(&one.inside, &other.inside) {
                return Err(format!(
                    "{key}: the containerConfigDir of the agents {} and {agent} overlap; use separate \
                     directories",
                    other.agent
                ));
            }
            let shared = ConfigDir {
                agent: agent.clone(),
                ..other.clone()
            };
            if one.inside == other.inside && *one != shared {
                return Err(format!(
                    "{key}: agents {} and {agent} have one containerConfigDir with different keys; give \
                     both the same hostConfigDir, hostConfigDirReadOnly and hostConfigDirMaxSize, or \
                     separate directories",
                    other.agent
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::load::from_toml;

    fn config(agents: &str) -> Result<Config, String> {
        from_toml(&format!("[templates.t]\nroot = \"/r\"\n{agents}"))
    }

    fn agent(name: &str, keys: &str) -> String {
        format!("[templates.t.agents.{name}]\ncommand = \"/a\"\n{keys}\n")
    }

    fn planned(agents: &str) -> Vec<ConfigDir> {
        let config = config(agents).unwrap();
        config.templates[&"t".parse().unwrap()].config_dirs()
    }

    #[test]
    fn where_it_lies_by_default() {
        assert_eq!(planned(&agent("claude", "")), []);
        let [one] = &planned(&agent("claude", "hostConfigDir = \"~/.claude\""))[..] else {
            panic!("not one");
        };
        assert_eq!(one.inside, Path::new("/home/agent/.claude"));
        assert_eq!(one.max_size.bytes(), 256 << 20);
        assert!(!one.read_only);
        assert_eq!(
            one.source_in(Path::new("/home/alice")),
            Path::new("/home/alice/.claude")
        );
        let keys = "hostConfigDir = \"/srv/shared/codex\"\ncontainerConfigDir = \"/opt/codex\"\n\
                    hostConfigDirReadOnly = true\nhostConfigDirMaxSize = \"1G\"";
        let [one] = &planned(&agent("codex", keys))[..] else {
            panic!("not one");
        };
        assert_eq!(
            one.source_in(Path::new("/home/alice")),
            Path::new("/srv/shared/codex")
        );
        assert!(one.read_only && one.inside == Path::new("/opt/codex"));
        assert_eq!(one.max_size.bytes(), 1 << 30);
    }

    #[test]
    fn what_agents_share_is_there_once() {
        let keys = "hostConfigDir = \"~/.claude\"";
        let two = agent("claude", keys) + &agent("second", keys);
        assert_eq!(planned(&two).len(), 1);
        let keys = "hostConfigDir = \"~/.codex\"";
        let two = agent("claude", "hostConfigDir = \"~/.claude\"") + &agent("codex", keys);
        assert_eq!(planned(&two).len(), 2);
    }

    #[test]
    fn what_makes_no_sense() {
        let dir = "hostConfigDir = \"~/.claude\"";
        let inside = |path: &str| format!("{dir}\ncontainerConfigDir = {path:?}");
        for (agents, expected) in [
            (
                "hostConfigDirReadOnly = true".to_owned(),
                "hostConfigDirReadOnly needs hostConfigDir",
            ),
            (
                "containerConfigDir = \"/home/agent/x\"".to_owned(),
                "containerConfigDir needs hostConfigDir",
            ),
            (
                "hostConfigDirMaxSize = \"1M\"".to_owned(),
                "hostConfigDirMaxSize needs hostConfigDir",
            ),
            (
                format!("{dir}\nhostConfigDirMaxSize = \"1K\""),
                "hostConfigDirMaxSize: not valid",
            ),
            (
                "hostConfigDir = \"~\"".to_owned(),
                "name the agent's own directory",
            ),
            (
                "hostConfigDir = \"/\"".to_owned(),
                "name the agent's own directory",
            ),
            (
                "hostConfigDir = \"~bob/.claude\"".to_owned(),
                "begins with ~/",
            ),
            ("hostConfigDir = \".claude\"".to_owned(), "begins with ~/"),
            ("hostConfigDir = \"\"".to_owned(), "begins with ~/"),
            (
                "hostConfigDir = \"~/../bob/.claude\"".to_owned(),
                "begins with ~/",
            ),
            ("hostConfigDir = \"~/a\\nb\"".to_owned(), "begins with ~/"),
            (
                "hostConfigDir = \"~/my config\"".to_owned(),
                "set containerConfigDir",
            ),
            (inside("home/agent/x"), "an absolute path"),
            (inside("/home/agent/../x"), "an absolute path"),
            (inside("/home/agent/\n"), "an absolute path"),
            (inside("/home/agent/a:b"), "use letters"),
            (inside("/"), "would hide"),
            (inside("/home"), "would hide"),
            (inside("/home/agent"), "would hide"),
            (inside("/run/secrets"), "would hide"),
            (inside("/lib64/x"), "would hide"),
            (inside("/workspace/.claude"), "overlaps the workspace"),
            (inside("/workspace"), "overlaps the workspace"),
        ] {
            let error = config(&agent("claude", &agents)).unwrap_err();
            assert!(error.contains(expected), "{agents} gave {error}");
        }
    }

    #[test]
    fn agents_in_each_others_way() {
        let claude = agent("claude", "hostConfigDir = \"~/.claude\"");
        for (keys, expected) in [
            ("hostConfigDir = \"/srv/.claude\"", "with different keys"),
            (
                "hostConfigDir = \"~/.claude\"\nhostConfigDirReadOnly = true",
                "with different keys",
            ),
            (
                "hostConfigDir = \"~/x\"\ncontainerConfigDir = \"/home/agent/.claude/x\"",
                "overlap; use separate",
            ),
        ] {
            let error = config(&(claude.clone() + &agent("other", keys))).unwrap_err();
            assert!(error.contains(expected), "{keys} gave {error}");
        }
    }

    #[test]
    fn the_variable_that_leads_there_is_ours() {
        let environment = "environment = { CLAUDE_CONFIG_DIR = \"/x\" }\n";
        let claude = |keys| environment.to_owned() + &agent("claude", keys);
        assert!(config(&claude("")).is_ok());
        let error = config(&claude("hostConfigDir = \"~/.claude\"")).unwrap_err();
        assert!(
            error.contains("environment.CLAUDE_CONFIG_DIR: agent claude"),
            "{error}"
        );
    }
}
