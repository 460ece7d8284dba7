//! The conversation between `forage-ctl exec` and the shim, over a stream socket whose ends the
//! daemon made and handed out. It does not pass through the daemon, so it outlives a restart of it.
//!
//! The command line sends one [`ToShim::Start`] with three pipes it made (stdin, stdout, stderr)
//! and a raw part of zero-terminated byte strings: `arguments`, then `variables` as `NAME=value`,
//! then the working directory if there is one. The shim answers [`FromShim::Started`] or
//! [`FromShim::Failed`], and at the end [`FromShim::Ended`]. When the command line goes away, the
//! command is killed with everything it started.
//!
//! With a terminal no pipes are sent; instead [`FromShim::Started`] carries one descriptor, the
//! master of a pseudoterminal of the sandbox's own. The command line reads, writes and resizes that.

use serde::{Deserialize, Serialize};

use crate::Failure;

/// The most arguments.
pub const MAX_ARGUMENTS: usize = 1024;
/// The most variables.
pub const MAX_VARIABLES: usize = 256;
/// The most bytes of arguments and variables together, terminators included.
pub const MAX_BYTES: usize = 256 * 1024;

/// What the command line says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToShim {
    /// Starts a command.
    Start {
        /// How many strings of the raw part are arguments, the program first; none for the login
        /// shell of the user it runs as.
        arguments: usize,
        /// How many strings after them are variables.
        variables: usize,
        /// Whether one more string is the working directory (default: the workspace).
        directory: bool,
        /// The user it runs as: empty for the agent.
        #[serde(default)]
        user: String,
        /// The terminal it runs on; `None` for pipes.
        #[serde(default)]
        terminal: Option<Terminal>,
        /// Leaves the agents' credentials out of its environment.
        #[serde(default)]
        without_credentials: bool,
    },
    /// Sends the command a signal.
    Signal(i32),
}

/// What the command line's own terminal is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terminal {
    /// How many rows it has.
    pub rows: u16,
    /// How many columns it has.
    pub columns: u16,
    /// Its type, as `TERM` names it.
    pub kind: String,
}

/// What the shim says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FromShim {
    /// The command runs. With a terminal, its master comes with this.
    Started,
    /// The command could not be started.
    Failed(Failure),
    /// The command ended.
    Ended(Ending),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// It exited with this status.
    Exited(u8),
    /// This signal ended it.
    Signalled(i32),
}
