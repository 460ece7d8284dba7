//! The conversation between the daemon and a sandbox's shim on `shim/<id>.sock`.
//!
//! The shim speaks first ([`Hello`]), then the daemon sends [`Request`]s, each answered by one
//! [`FromShim::Reply`] with its number; [`FromShim::Event`]s come in between. A new connection of
//! the daemon replaces the old one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::Failure;
use crate::ident::{AgentName, EnvName, SandboxId};

/// The version of this conversation.
pub const VERSION: u32 = 1;

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
    /// Delivers the token: the raw part is its bytes, empty for none. The first one lets a start
    /// go on; each later one replaces what is delivered. The reply comes when it is visible inside.
    Credentials {
        /// Where the token comes from.
        source: TokenSource,
        /// When the token expires.
        expires_at: Option<Timestamp>,
    },
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
    pub facts: Option<Facts>,
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
    /// The variable it arrives in.
    pub variable: EnvName,
    /// The file below `/run/secrets` that carries it.
    pub file: String,
    /// Where it comes from: `secret:<name>`, `token-store`, `shared-token-store` or `none`.
    pub source: String,
    /// When it expires, where that is known.
    pub expires_at: Option<Timestamp>,
    /// The first 8 hex digits of its salted SHA-256; `None` when nothing is delivered.
    pub fingerprint: Option<String>,
    /// How many times the sandbox's credentials were written in this run.
    pub generation: u64,
    /// Why the delivered value may be out of date, where it is.
    pub stale: Option<String>,
}
