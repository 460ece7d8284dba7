//! What calls answer.

use std::fmt;
use std::str::FromStr;

use zbus::{DeserializeDict, SerializeDict, Type};

/// The states a sandbox is seen in; on the wire as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SandboxState {
    /// Is being started.
    Starting,
    /// Runs.
    Running,
    /// Its processes are stopped where they stand.
    Frozen,
    /// Is being stopped.
    Stopping,
    /// Is stopped and can be started.
    Stopped,
    /// Its last start or run failed; it can be started again or removed.
    Failed,
    /// Is being removed.
    Removing,
    /// Its record cannot be read; it is kept as it is.
    Unreadable,
}

impl SandboxState {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Starting, "starting"),
        (Self::Running, "running"),
        (Self::Frozen, "frozen"),
        (Self::Stopping, "stopping"),
        (Self::Stopped, "stopped"),
        (Self::Failed, "failed"),
        (Self::Removing, "removing"),
        (Self::Unreadable, "unreadable"),
    ];

    /// The state's word.
    pub fn as_str(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(state, _)| *state == self)
            .map_or("unknown", |(_, name)| name)
    }
}

impl fmt::Display for SandboxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SandboxState {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(state, _)| *state)
            .ok_or(())
    }
}

/// A sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct SandboxInfo {
    /// The id, 8 hex digits.
    pub id: String,
    /// The name, unique per owner.
    pub name: String,
    /// The uid that owns it.
    pub owner: u32,
    /// The template; empty where the record is unreadable.
    pub template: String,
    /// A [`SandboxState`] as text.
    pub state: String,
    /// The directory it works on; absent for a workspace of its own.
    pub repository: Option<String>,
    /// The directory on the host that is its workspace.
    pub workspace: String,
    /// When it was created, RFC 3339 in UTC; empty where the record is unreadable.
    pub created_at: String,
    /// The host uid that is root in it; it has 65536 uids from there.
    pub uid_base: u32,
    /// What its agents were given; empty unless it runs.
    pub credentials: Vec<CredentialInfo>,
    /// Since when its credentials are revoked, RFC 3339 in UTC; absent where they are not.
    pub revoked_at: Option<String>,
    /// Why it failed or is unreadable.
    pub failure: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// When its run began, RFC 3339 in UTC; this and what follows are answers of `Get` alone.
    pub started_at: Option<String>,
    /// How many seconds ago that was, by a clock that cannot be set.
    pub uptime: Option<u64>,
    /// The system in the Nix store its run is made from; absent for a distribution's tree.
    pub system: Option<String>,
    /// The system it is made from at its next start, where its template names another by now.
    pub newer_system: Option<String>,
    /// What its run may use.
    pub limits: Option<LimitsInfo>,
    /// What its run can reach.
    pub network: Option<NetworkInfo>,
    /// What of the host is seen in it.
    pub mounts: Option<Vec<MountInfo>>,
    /// Its last failure, also when it has run since.
    pub last_failure: Option<FailureInfo>,
}

/// What a run may use; what is absent has no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct LimitsInfo {
    /// Per cent of one processor.
    pub cpu_quota: Option<u32>,
    /// Bytes.
    pub memory_max: Option<u64>,
    /// Processes and threads.
    pub tasks_max: Option<u32>,
}

/// What a run can reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct NetworkInfo {
    /// `none` or `full`.
    pub mode: String,
    /// The interface on the host, where there is one.
    pub interface: Option<String>,
    /// The sandbox's addresses with their prefix length.
    pub addresses: Vec<String>,
    /// The way out.
    pub gateways: Vec<String>,
    /// Who resolves names for it.
    pub resolvers: Vec<String>,
    /// What its owner should know.
    pub warnings: Vec<String>,
}

/// Something of the host that is seen in a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct MountInfo {
    /// Where it is seen.
    pub path: String,
    /// `root`, `store`, `workspace`, `secrets` or `wrappers`.
    pub what: String,
    /// Where it lies on the host, where its owner may know.
    pub source: Option<String>,
    /// Whether the sandbox may write to it.
    pub writable: bool,
}

/// A failure of the past.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct FailureInfo {
    /// When it happened, RFC 3339 in UTC.
    pub at: String,
    /// What failed and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What one agent of a sandbox was given; never the value.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct CredentialInfo {
    /// The agent.
    pub agent: String,
    /// What kind of credential it is: `oauth-token`, `api-key` or `secret`.
    pub method: String,
    /// How it reaches the agent: `env` or `file`.
    pub delivery: String,
    /// When a new value is used: `live` by the processes that run, `next-launch` at the agent's next.
    pub effect: String,
    /// The variable it arrives in; empty where it arrives in no variable.
    pub variable: String,
    /// The file in the sandbox that carries it.
    pub file: String,
    /// `secret:<name>`, `token-store`, `shared-token-store`, `host-login` or `none`.
    pub source: String,
    /// When it expires, RFC 3339 in UTC, where that is known.
    pub expires_at: Option<String>,
    /// The first 8 hex digits of its salted SHA-256, absent when nothing is delivered.
    pub fingerprint: Option<String>,
    /// How many times the sandbox's credentials were written in this run.
    pub generation: u64,
    /// Why the delivered value may be out of date, where it is.
    pub stale: Option<String>,
    /// Whether it was taken away and is withheld.
    pub revoked: bool,
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct TemplateInfo {
    /// Its name.
    pub name: String,
    /// What the operator says about it.
    pub description: String,
    /// Its agents.
    pub agents: Vec<String>,
    /// Its network.
    pub network: String,
}

/// What `Create` and `Start` answer.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct StartReply {
    /// The sandbox as it is now.
    pub sandbox: SandboxInfo,
    /// What the user should know, such as a token that expires soon.
    pub warnings: Vec<String>,
    /// What `-v` prints, such as which token source was used.
    pub debug: Vec<String>,
}

/// The states a stored token is seen in; on the wire as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// 30 days or more are left.
    Valid,
    /// Fewer than 30 days are left.
    Expiring,
    /// It has expired.
    Expired,
    /// None is stored, or it belongs to another user now.
    Missing,
}

impl TokenState {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Valid, "valid"),
        (Self::Expiring, "expiring"),
        (Self::Expired, "expired"),
        (Self::Missing, "missing"),
    ];

    /// The state's word.
    pub fn as_str(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(state, _)| *state == self)
            .map_or("unknown", |(_, name)| name)
    }
}

/// What `Tokens.Status` answers.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct TokenInfo {
    /// A [`TokenState`] as text.
    pub state: String,
    /// `token-store`, `shared-token-store`, `host-login` or `none`: what the owner's sandboxes use.
    pub source: String,
    /// When it was stored, RFC 3339 in UTC.
    pub created_at: Option<String>,
    /// When it expires, RFC 3339 in UTC.
    pub expires_at: Option<String>,
    /// Whole days until then; negative once it has expired.
    pub days_left: Option<i64>,
    /// When the login expires, RFC 3339 in UTC, where that is the source.
    pub login_expires_at: Option<String>,
    /// The owner's running sandboxes that use it.
    pub sandboxes: Vec<String>,
    /// How many sandboxes of others use it.
    pub others: u32,
    /// What the user should know, such as an entry that cannot be read.
    pub warnings: Vec<String>,
}

/// What `Tokens.Store` and `Tokens.Remove` answer.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct TokenReply {
    /// When the stored token expires, RFC 3339 in UTC; absent after a removal.
    pub expires_at: Option<String>,
    /// The owner's running sandboxes whose files were rewritten.
    pub updated: Vec<String>,
    /// The owner's running sandboxes that could not be reached; they follow when they can be.
    pub stale: Vec<String>,
    /// How many sandboxes of others were rewritten.
    pub others: u32,
    /// What the user should know, such as a token of an unknown form.
    pub warnings: Vec<String>,
}

/// What `Tokens.Refresh` and `Tokens.Revoke` answer.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct AuthReply {
    /// What was done, per sandbox, by name.
    pub sandboxes: Vec<AuthOutcome>,
    /// What the user should know, such as a token that expires soon.
    pub warnings: Vec<String>,
    /// What `-v` prints, such as which token source was used.
    pub debug: Vec<String>,
}

/// What was done with the credentials of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct AuthOutcome {
    /// The sandbox.
    pub name: String,
    /// Its state now, a [`SandboxState`] as text.
    pub state: String,
    /// After `Refresh` what it has now, after `Revoke` what it held until then.
    pub credentials: Vec<CredentialInfo>,
    /// What could not be done now and follows by itself when it can be.
    pub stale: Option<String>,
    /// What failed and is not tried again, such as a stop.
    pub failure: Option<String>,
}

/// The `Progress` signal: what a long call is doing.
#[derive(Debug, Clone, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct ProgressInfo {
    /// The sandbox.
    pub name: String,
    /// The step that begins: `queued`, `recording`, `starting`, `checking`, `root`, `workspace`,
    /// `secrets`, `booting`, `stopping`, `removing`.
    pub step: String,
}
