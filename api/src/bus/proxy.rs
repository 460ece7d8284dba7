//! Proxies for clients of the daemon.

use zbus::proxy;

use super::info::{ProgressInfo, SandboxInfo, StartReply, TemplateInfo, TokenInfo, TokenReply};
use super::options::{CreateOptions, OwnerOptions, RemoveOptions};
use super::row::SandboxRow;

/// `org.firefly.Forage1.Manager`: sandboxes.
#[proxy(
    interface = "org.firefly.Forage1.Manager",
    default_service = "org.firefly.Forage1",
    default_path = "/org/firefly/Forage1"
)]
pub trait Manager {
    /// Creates a sandbox from a template and starts it. Answers when it is ready.
    fn create(
        &self,
        name: &str,
        template: &str,
        options: &CreateOptions,
    ) -> zbus::Result<StartReply>;

    /// Starts a stopped or failed sandbox. Answers when it is ready.
    fn start(&self, name: &str, options: &OwnerOptions) -> zbus::Result<StartReply>;

    /// Stops a running sandbox. Answers when everything of its run is gone.
    fn stop(&self, name: &str, options: &OwnerOptions) -> zbus::Result<()>;

    /// Removes a sandbox, stopping it first if it runs.
    fn remove(&self, name: &str, options: &RemoveOptions) -> zbus::Result<()>;

    /// Opens a conversation with a running sandbox's shim: one end of a stream socket.
    fn exec(&self, name: &str, options: &OwnerOptions) -> zbus::Result<zbus::OwnedFd>;

    /// Describes one sandbox.
    fn get(&self, name: &str, options: &OwnerOptions) -> zbus::Result<SandboxInfo>;

    /// Describes the caller's sandboxes; root sees those of one owner, or all.
    fn list(&self, options: &OwnerOptions) -> zbus::Result<Vec<SandboxRow>>;

    /// Opens the logs of a sandbox's last runs to read, the oldest first.
    fn logs(&self, name: &str, options: &OwnerOptions) -> zbus::Result<Vec<zbus::OwnedFd>>;

    /// Describes the templates.
    fn templates(&self) -> zbus::Result<Vec<TemplateInfo>>;

    /// Asks for `SandboxChanged` signals about the caller's sandboxes until it leaves the bus.
    fn subscribe(&self) -> zbus::Result<()>;

    /// The daemon's version.
    fn version(&self) -> zbus::Result<String>;

    /// What a long call of this connection is doing.
    #[zbus(signal)]
    fn progress(&self, progress: ProgressInfo) -> zbus::Result<()>;

    /// A sandbox of the subscriber's is in another state; `state` is empty once it is removed.
    #[zbus(signal)]
    fn sandbox_changed(&self, name: String, state: String) -> zbus::Result<()>;
}

/// `org.firefly.Forage1.Tokens`: the token store.
#[proxy(
    interface = "org.firefly.Forage1.Tokens",
    default_service = "org.firefly.Forage1",
    default_path = "/org/firefly/Forage1"
)]
pub trait Tokens {
    /// Stores a token, given in a fully sealed memfd, and rewrites it in running sandboxes.
    fn store(&self, token: zbus::Fd<'_>, options: &OwnerOptions) -> zbus::Result<TokenReply>;

    /// Describes the stored token.
    fn status(&self, options: &OwnerOptions) -> zbus::Result<TokenInfo>;

    /// Deletes the stored token and takes it away from running sandboxes.
    fn remove(&self, options: &OwnerOptions) -> zbus::Result<TokenReply>;
}
