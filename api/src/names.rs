//! Names that outsiders see: the bus, polkit and systemd.

use crate::ident::SandboxId;

/// The well-known name `foraged` owns on the system bus.
pub const BUS_NAME: &str = "org.firefly.Forage1";
/// The one object `foraged` exports.
pub const OBJECT_PATH: &str = "/org/firefly/Forage1";
/// The interface for sandboxes.
pub const MANAGER_INTERFACE: &str = "org.firefly.Forage1.Manager";
/// The interface for the token store.
pub const TOKENS_INTERFACE: &str = "org.firefly.Forage1.Tokens";
/// What every error name begins with.
pub const ERROR_PREFIX: &str = "org.firefly.Forage1.Error.";
/// polkit action: act on sandboxes of other users.
pub const ACTION_MANAGE_ALL: &str = "org.firefly.forage1.manage-all";
/// polkit action: see sandboxes of other users.
pub const ACTION_INSPECT_ALL: &str = "org.firefly.forage1.inspect-all";
/// The group whose members may call the daemon.
pub const GROUP: &str = "forage";
/// The user the daemon runs as.
pub const DAEMON_USER: &str = "foraged";
/// The daemon's unit.
pub const DAEMON_UNIT: &str = "firefly-forage.service";

/// The unit that runs a sandbox.
pub fn sandbox_unit(id: SandboxId) -> String {
    format!("forage-sandbox@{id}.service")
}

/// The oneshot unit that removes what root owns of a stopped sandbox.
pub fn remove_unit(id: SandboxId) -> String {
    format!("forage-remove@{id}.service")
}

/// The name a sandbox has in `machinectl`.
pub fn machine(id: SandboxId) -> String {
    format!("forage-{id}")
}
