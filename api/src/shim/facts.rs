//! What a run is like: what its shim tells the daemon beyond how far it has got. Nothing here is a
//! secret, and nothing comes from within the sandbox.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a run is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The wall clock when it began.
    pub started_at: Timestamp,
    /// Nanoseconds of `CLOCK_BOOTTIME` when it began: the time since then is right whatever became of
    /// the wall clock.
    pub boot_time_ns: u64,
    /// The system in the Nix store it was made from; absent for a distribution's tree.
    #[serde(default)]
    pub system: Option<PathBuf>,
    /// What it may use.
    pub limits: Limits,
    /// What it can reach.
    pub network: NetworkFacts,
    /// What of the host is seen in it.
    pub mounts: Vec<MountFact>,
}

/// What a run may use; what is absent has no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Per cent of one processor.
    pub cpu_quota: Option<u32>,
    /// Bytes.
    pub memory_max: Option<u64>,
    /// Processes and threads.
    pub tasks_max: Option<u32>,
}

/// What a run can reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkFacts {
    /// The template's word for it: `none`, `full`.
    pub mode: String,
    /// The interface on the host, where there is one.
    #[serde(default)]
    pub interface: Option<String>,
    /// The sandbox's addresses with their prefix length, such as `10.99.0.2/30`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The host's side of these, which is the way out.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// Who resolves names for it.
    #[serde(default)]
    pub resolvers: Vec<String>,
    /// What its owner should know, such as that IPv6 is missing.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Something of the host that is seen in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountFact {
    /// Where it is seen.
    pub path: String,
    /// What it is.
    pub what: MountKind,
    /// Where it lies on the host, where its owner may know.
    #[serde(default)]
    pub source: Option<String>,
    /// Whether the sandbox may write to it.
    pub writable: bool,
}

/// What is seen in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MountKind {
    /// The root: the template's system below a layer that goes with the run.
    Root,
    /// The store the template's system comes from.
    Store,
    /// The workspace.
    Workspace,
    /// The credentials.
    Secrets,
    /// The wrappers of the agents.
    Wrappers,
    /// The resolvers and the gateway of a sandbox with a network.
    Network,
    /// An agent's configuration directory, made from the owner's.
    Config,
}

impl MountKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Store => "store",
            Self::Workspace => "workspace",
            Self::Secrets => "secrets",
            Self::Wrappers => "wrappers",
            Self::Network => "network",
            Self::Config => "config",
        }
    }
}
