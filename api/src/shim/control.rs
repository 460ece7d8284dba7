//! The conversation between the daemon and a sandbox's shim on `shim/<id>.sock`.
//!
//! The shim speaks first ([`Hello`]), then the daemon sends [`Request`]s, each answered by one
//! [`FromShim::Reply`] with its number; [`FromShim::Event`]s come in between. A new connection of
//! the daemon replaces the old one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::Failure;
use crate::config::DeliveryMode;
use crate::ident::{AgentName, EnvName, SandboxId};
use crate::provider::Method;

/// The version of this conversation.
pub const VERSION: u32 = 2;

/// What the daemon asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The number its reply carries.
    pub number: u64,
    /// What is asked.
    pub verb: Verb,
}

/// The things a shim can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Brings the sandbox's credentials to the state that is described: the raw part is the token's
    /// bytes, empty for none. The first one lets a start go on; each later one replaces what is
    /// delivered. The reply comes when it is visible inside. Sending it again does no harm.
    ///
    /// An empty token whose source is [`TokenSource::HostLogin`] means that the daemon does not hold
    /// it (it was restarted): what is delivered of a host login stays, anything else is taken away.
    Credentials {
        /// Where the token comes from.
        source: TokenSource,
        /// When the token expires.
        expires_at: Option<Timestamp>,
        /// Whether the sandbox may have no credential at all, secrets included.
        #[serde(default)]
        revoked: bool,
        /// Whether secrets' files are read again too.
        #[serde(default)]
        refresh: bool,
    },
    /// Stops the sandbox's processes where they stand. The reply comes when they have stopped.
    Freeze,
    /// Lets frozen processes go on.
    Thaw,
    /// Stops the sandbox. The reply comes when the stop has begun; the connection ends with it.
    Stop,
    /// Takes over one end of an [`exec`](super::exec) conversation: the frame's one descriptor.
    Exec,
}

/// Where a delivered token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenSource {
    /// No token.
    None,
    /// The owner's entry in the token store.
    TokenStore,
    /// The configured user's entry in the token store, which is shared.
    SharedTokenStore,
    /// The login of the vendor's own program on the host, of the sandbox's owner.
    HostLogin,
}

impl TokenSource {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::TokenStore => "token-store",
            Self::SharedTokenStore => "shared-token-store",
            Self::HostLogin => "host-login",
        }
    }
}

/// What the shim says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FromShim {
    /// The first thing on every connection.
    Hello(Hello),
    /// The answer to the request of this number.
    Reply {
        /// The request's number.
        number: u64,
        /// Why it was not done; `None` when it was.
        failure: Option<Failure>,
    },
    /// Something happened.
    Event(Event),
}

/// Where the shim stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The version of the conversation.
    pub version: u32,
    /// The sandbox.
    pub id: SandboxId,
    /// How far the run has got.
    pub state: RunState,
    /// What is delivered.
    pub credentials: Vec<Delivered>,
    /// What the run is like, as far as it is known by now.
    #[serde(default)]
    pub facts: Option<Box<Facts>>,
}

/// How far a run has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Waits for [`Verb::Credentials`].
    AwaitingCredentials,
    /// Builds the sandbox or waits for it to boot.
    Starting,
    /// Runs.
    Running,
    /// Its processes are stopped where they stand.
    Frozen,
    /// Is being stopped.
    Stopping,
}

impl RunState {
    /// The words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingCredentials => "waiting for the credentials",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Stopping => "stopping",
        }
    }
}

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A step of the start begins: `checking`, `root`, `workspace`, `secrets`, `booting`.
    Step(String),
    /// The run's state changed.
    State(RunState),
    /// What is delivered changed; this is all of it.
    Credentials(Vec<Delivered>),
    /// What the run is like changed; this is all of it.
    Facts(Box<Facts>),
}

/// What one agent was given; never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// The agent.
    pub agent: AgentName,
    /// What kind of credential it is.
    pub method: Method,
    /// How it reaches the agent.
    pub delivery: DeliveryMode,
    /// The variable it arrives in; `None` where it arrives in no variable.
    pub variable: Option<EnvName>,
    /// The file below `/run/secrets` that carries it.
    pub file: String,
    /// Where it comes from: `secret:<name>`, `token-store`, `shared-token-store`, `host-login` or
    /// `none`.
    pub source: String,
    /// When it expires, where that is known.
    pub expires_at: Option<Timestamp>,
    /// The first 8 hex digits of its salted SHA-256; `None` when nothing is delivered.
    pub fingerprint: Option<String>,
    /// How many times the sandbox's credentials were written in this run.
    pub generation: u64,
    /// Why the delivered value may be out of date, where it is.
    pub stale: Option<String>,
    /// Whether it was taken away and is withheld.
    #[serde(default)]
    pub revoked: bool,
}

impl Delivered {
    /// Tells whether it is a token the daemon brings, not a secret's file.
    pub fn is_token(&self) -> bool {
        !self.source.starts_with("secret:")
    }
}
