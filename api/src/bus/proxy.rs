//! Proxies for clients of the daemon.

use zbus::proxy;

use super::info::{
    AuthReply, CredentialInfo, ProgressInfo, SandboxInfo, StartReply, TemplateInfo, TokenInfo,
    TokenReply,
};
use super::options::{CreateOptions, OwnerOptions, RemoveOptions, RevokeOptions};
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

    /// A sandbox of the subscriber's is in another state, or something else has changed that `List`
    /// tells of it; `state` is empty once it is removed.
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

    /// Hands over the access token of the caller's login on the host, in a fully sealed memfd, with
    /// its expiry in milliseconds since 1970; an empty one says that there is none. The daemon keeps
    /// it in memory and brings it to the running sandboxes that use it.
    fn offer_host_login(
        &self,
        token: zbus::Fd<'_>,
        expires_at_ms: i64,
        options: &OwnerOptions,
    ) -> zbus::Result<TokenReply>;

    /// Brings the credentials of one sandbox up to date, or of all where `name` is empty; ends a
    /// revocation, and lets what was frozen go on.
    fn refresh(&self, name: &str, options: &OwnerOptions) -> zbus::Result<AuthReply>;

    /// Takes the credentials of one sandbox away, or of all where `name` is empty, until `Refresh`.
    fn revoke(&self, name: &str, options: &RevokeOptions) -> zbus::Result<AuthReply>;

    /// What an agent of the subscriber's sandbox is given has changed.
    #[zbus(signal)]
    fn credential_rotated(&self, name: String, credential: CredentialInfo) -> zbus::Result<()>;

    /// What an agent of the subscriber's sandbox is given expires within `days_left` days: 30, 1, or
    /// 0 when it has expired.
    #[zbus(signal)]
    fn credential_expiring(
        &self,
        name: String,
        credential: CredentialInfo,
        days_left: i64,
    ) -> zbus::Result<()>;

    /// The credentials of the subscriber's sandbox were revoked; these are what it held.
    #[zbus(signal)]
    fn revoked(&self, name: String, held: Vec<CredentialInfo>) -> zbus::Result<()>;
}
