//! Where things lie. Both privileges use these; who owns each place is in `docs/layout.md`.

use std::path::{Path, PathBuf};

use crate::ident::SandboxId;

/// The configuration both programs read.
pub const CONFIG: &str = "/etc/firefly-forage/config.toml";
/// The state directory, 0711 root.
pub const STATE: &str = "/var/lib/firefly-forage";
/// The sandbox records, 0700 foraged.
pub const SANDBOXES: &str = "/var/lib/firefly-forage/sandboxes";
/// The token store, 0700 foraged.
pub const TOKENS: &str = "/var/lib/firefly-forage/tokens";
/// The workspaces of sandboxes started without a repository, 0711 root.
pub const WORKSPACES: &str = "/var/lib/firefly-forage/workspaces";
/// The logs of the sandboxes' runs, 0750 root:foraged.
pub const LOGS: &str = "/var/lib/firefly-forage/logs";
/// The salt of the fingerprints, 0600 root.
pub const FINGERPRINT_SALT: &str = "/var/lib/firefly-forage/fingerprint-salt";
/// The runtime directory, 0711 root.
pub const RUNTIME: &str = "/run/firefly-forage";
/// The sockets of running shims, 0750 root:foraged.
pub const SHIM_SOCKETS: &str = "/run/firefly-forage/shim";
/// What shims report about starts and removals, 0750 root:foraged.
pub const RESULTS: &str = "/run/firefly-forage/result";
/// Mount points and slot locks of the shims, 0700 root.
pub const PINS: &str = "/run/firefly-forage/pin";
/// The secrets, a tmpfs of its own, 0700 root.
pub const SECRETS: &str = "/run/firefly-forage/secrets";

/// Where a sandbox sees its secrets.
pub const INSIDE_SECRETS: &str = "/run/secrets";
/// Where a sandbox finds the wrappers of its agents.
pub const INSIDE_WRAPPERS: &str = "/run/forage/bin";
/// Where a sandbox with a network finds its `resolv.conf`.
pub const INSIDE_NETWORK: &str = "/run/forage/net";
/// The file name of the Claude token in a sandbox's secrets.
pub const TOKEN_FILE: &str = "claude-oauth-token";
/// The directory in a sandbox's secrets that holds Claude Code's credential file and nothing else.
pub const CREDENTIAL_DIRECTORY: &str = "claude-credentials";
/// Claude Code's credential file in a sandbox's secrets.
pub const CREDENTIAL_FILE: &str = "claude-credentials/.credentials.json";

/// The socket of a sandbox's shim.
pub fn shim_socket(id: SandboxId) -> PathBuf {
    Path::new(SHIM_SOCKETS).join(format!("{id}.sock"))
}

/// The report of a sandbox's last start or removal.
pub fn result(id: SandboxId) -> PathBuf {
    Path::new(RESULTS).join(id.to_string())
}

/// The names of a sandbox's two files in [`LOGS`]: the one that is written, and the older one.
pub fn log_names(id: SandboxId) -> [String; 2] {
    [id.to_string(), format!("{id}.1")]
}

/// A sandbox's secrets directory.
pub fn secrets(id: SandboxId) -> PathBuf {
    Path::new(SECRETS).join(id.to_string())
}

/// A sandbox's mount points.
pub fn pin(id: SandboxId) -> PathBuf {
    Path::new(PINS).join(id.to_string())
}

/// The workspace made for a sandbox that was given no repository.
pub fn workspace(id: SandboxId) -> PathBuf {
    Path::new(WORKSPACES).join(id.to_string())
}
