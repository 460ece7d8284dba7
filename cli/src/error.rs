//! What goes wrong in the command line: what is printed, and the exit code.

use std::{fmt, io};

use forage_api::{ErrorKind, Failure, exit};

/// An error as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The exit code.
    pub exit: u8,
    /// What kind of failure the daemon answered, if it was the daemon.
    pub kind: Option<ErrorKind>,
    /// What failed and why.
    pub message: String,
    /// What to do next; empty where there is nothing to say.
    pub hint: String,
}

impl Error {
    /// An error with an exit code of [`forage_api::exit`].
    pub fn new(exit: u8, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind: None,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// Something failed that no other code names.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(exit::FAILURE, message)
    }

    /// Something failed with an error of the system.
    pub fn system(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::failure(format!("{what}: {}", reason(error)))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The reason of a system error without the number Rust adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self {
            exit: failure.kind.exit_code(),
            kind: Some(failure.kind),
            message: failure.message,
            hint: failure.hint,
        }
    }
}
