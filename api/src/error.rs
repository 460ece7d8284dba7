//! The one failure type: what the daemon answers, what the shim reports, what the command line
//! prints. A failure never quotes the content of a file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exit;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $exit:ident,)+) => {
        /// What went wrong. On the bus each kind is the error `org.firefly.Forage1.Error.<kind>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)+
        }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The last part of the D-Bus error name.
            pub const fn noun(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The D-Bus error name.
            pub const fn bus_name(self) -> &'static str {
                match self { $(Self::$name => concat!("org.firefly.Forage1.Error.", stringify!($name)),)+ }
            }

            /// The exit code of `forage-ctl`.
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$name => exit::$exit,)+ }
            }
        }
    };
}

kinds! {
    /// A name breaks the rule for such names.
    InvalidName => USAGE,
    /// An argument is malformed, or an option is unknown.
    InvalidArgument => USAGE,
    /// The text is not a token the store takes.
    InvalidToken => FAILURE,
    /// The path cannot be a workspace.
    InvalidRepository => FAILURE,
    /// The daemon's configuration is wrong.
    InvalidConfig => FAILURE,
    /// The owner has no sandbox of that name.
    NoSuchSandbox => NO_SUCH,
    /// The configuration has no template of that name.
    NoSuchTemplate => NO_SUCH,
    /// The configuration has no secret of that name.
    NoSuchSecret => NO_SUCH,
    /// No token is stored.
    NoSuchToken => NO_SUCH,
    /// The host has no user of that name.
    NoSuchUser => NO_SUCH,
    /// The owner has a sandbox of that name already.
    SandboxExists => WRONG_STATE,
    /// The sandbox is not running.
    SandboxNotRunning => WRONG_STATE,
    /// The sandbox is running already.
    SandboxRunning => WRONG_STATE,
    /// The sandbox's processes are stopped where they stand.
    SandboxFrozen => WRONG_STATE,
    /// The sandbox's record cannot be read; it is kept as it is.
    RecordUnreadable => WRONG_STATE,
    /// The sandbox's own workspace holds files.
    WorkspaceNotEmpty => WRONG_STATE,
    /// The caller may not do this.
    AccessDenied => DENIED,
    /// Another operation on the sandbox is under way.
    Busy => BUSY,
    /// A quota or a limit is reached.
    LimitReached => BUSY,
    /// An agent's configuration directory cannot be used.
    ConfigDirUnusable => FAILURE,
    /// A secret's file is missing or cannot be used.
    SecretUnusable => FAILURE,
    /// The sandbox did not start, or failed.
    SandboxFailed => SANDBOX_FAILED,
    /// State could not be read or written.
    StorageFailed => FAILURE,
    /// A part of the host that is needed does not answer (systemd, polkit, the bus, user database).
    Unavailable => FAILURE,
    /// `exec`: the command was not found in the sandbox.
    CommandNotFound => NOT_FOUND,
    /// `exec`: the command could not be executed.
    CommandNotExecutable => CANNOT_EXECUTE,
    /// A defect of ours; the journal has the details.
    Internal => FAILURE,
}

/// A failure: its kind, its cause, and what to do next (empty where there is nothing to say).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What failed and why, as one sentence without a full stop.
    pub message: String,
    /// What to do next.
    #[serde(default)]
    pub hint: String,
}

impl Failure {
    /// Makes a failure without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<crate::ident::InvalidName> for Failure {
    fn from(error: crate::ident::InvalidName) -> Self {
        Self::new(ErrorKind::InvalidName, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes() {
        assert_eq!(ErrorKind::Busy.bus_name(), "org.firefly.Forage1.Error.Busy");
        assert_eq!(ErrorKind::NoSuchSandbox.exit_code(), 3);
        assert_eq!(ErrorKind::SandboxExists.exit_code(), 4);
        assert_eq!(ErrorKind::AccessDenied.exit_code(), 5);
        assert_eq!(ErrorKind::LimitReached.exit_code(), 7);
        assert_eq!(ErrorKind::SandboxFailed.exit_code(), 8);
        assert!(
            ErrorKind::ALL
                .iter()
                .all(|kind| kind.exit_code() != exit::OK)
        );
    }
}
