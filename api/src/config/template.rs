//! A template as it is written, and what its root is made of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Agent, HostPort, Network, ResourceLimits, Size, Template, defaults};
use crate::ident::{AgentName, VariableName};

/// What a sandbox's root is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A distribution's tree.
    Tree {
        /// The tree, the read-only lower layer of the sandbox's root.
        root: PathBuf,
        /// The program of the tree that is started as process 1.
        init: PathBuf,
    },
    /// A system in the Nix store, seen with the whole store in a root that is otherwise empty.
    System {
        /// The store path; its `init` is started as process 1.
        system: PathBuf,
    },
}

impl Base {
    /// The program that is started as process 1, as the sandbox sees it.
    pub fn init(&self) -> PathBuf {
        match self {
            Self::Tree { init, .. } => init.clone(),
            Self::System { system } => system.join("init"),
        }
    }
}

/// The keys of a template.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Keys {
    #[serde(default)]
    description: String,
    root: Option<PathBuf>,
    init: Option<PathBuf>,
    system: Option<PathBuf>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    host_ports: Vec<HostPort>,
    #[serde(default = "defaults::root_size")]
    root_size: Size,
    #[serde(default = "defaults::agent_user")]
    agent_user: String,
    #[serde(default = "defaults::agent_id")]
    agent_uid: u16,
    #[serde(default = "defaults::agent_id")]
    agent_gid: u16,
    #[serde(default)]
    resource_limits: ResourceLimits,
    #[serde(default = "defaults::workspace_path")]
    workspace_path: PathBuf,
    #[serde(default)]
    environment: BTreeMap<VariableName, String>,
    #[serde(default)]
    agents: BTreeMap<AgentName, Agent>,
}

const NEITHER: &str =
    "neither root nor system is given; name a distribution's tree or a system in the Nix store";
const BOTH: &str = "root and system are both given; a template has one of them";
const INIT: &str = "init goes with root; of a system, its own init is started";

/// Whether a message of the parser's is one of these, which hold no value.
pub(super) fn is_ours(message: &str) -> bool {
    [NEITHER, BOTH, INIT].contains(&message)
}

impl TryFrom<Keys> for Template {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let base = match (keys.root, keys.init, keys.system) {
            (None, _, None) => return Err(NEITHER),
            (Some(_), _, Some(_)) => return Err(BOTH),
            (None, Some(_), Some(_)) => return Err(INIT),
            (Some(root), init, None) => Base::Tree {
                root,
                init: init.unwrap_or_else(defaults::init),
            },
            (None, None, Some(system)) => Base::System { system },
        };
        Ok(Self {
            description: keys.description,
            base,
            network: keys.network,
            host_ports: keys.host_ports,
            root_size: keys.root_size,
            agent_user: keys.agent_user,
            agent_uid: keys.agent_uid,
            agent_gid: keys.agent_gid,
            resource_limits: keys.resource_limits,
            workspace_path: keys.workspace_path,
            environment: keys.environment,
            agents: keys.agents,
        })
    }
}
