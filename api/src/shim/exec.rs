//! The conversation between `forage-ctl exec` and the shim, over a stream socket whose ends the
//! daemon made and handed out. It does not pass through the daemon, so it outlives a restart of it.
//!
//! The command line sends one [`ToShim::Start`] with three pipes it made (stdin, stdout, stderr)
//! and a raw part of zero-terminated byte strings: `arguments`, then `variables` as `NAME=value`,
//! then the working directory if there is one. The shim answers [`FromShim::Started`] or
//! [`FromShim::Failed`], and at the end [`FromShim::Ended`]. When the command line goes away, the
//! command is killed with everything it started.

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
    /// Starts the command as the agent user.
    Start {
        /// How many strings of the raw part are arguments; at least one, the program.
        arguments: usize,
        /// How many strings after them are variables.
        variables: usize,
        /// Whether one more string is the working directory (default: the workspace).
        directory: bool,
    },
    /// Sends the command a signal.
    Signal(i32),
}

/// What the shim says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FromShim {
    /// The command runs.
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
