//! Failures from what the system says.

use std::fmt::Display;
use std::io;

use forage_api::{ErrorKind, Failure};

/// What the system said, without the number people cannot read.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_lowercase(),
        None => text,
    }
}

/// A failure of `kind`: `what` could not be done, and why.
pub fn cannot(kind: ErrorKind, what: impl Display, error: impl Into<io::Error>) -> Failure {
    let error = error.into();
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on that file system, then try again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "make that file system writable again",
        _ => "",
    };
    Failure::new(kind, format!("cannot {what}: {}", reason(&error))).hint(hint)
}

/// The start failed for a reason of the host's.
pub fn start(what: impl Display, error: impl Into<io::Error>) -> Failure {
    cannot(ErrorKind::SandboxFailed, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sentences() {
        let failure = start("mount the root", rustix::io::Errno::NOSPC);
        assert_eq!(
            failure.message,
            "cannot mount the root: no space left on device"
        );
        let failure = start("x", io::Error::other("it is odd"));
        assert_eq!(failure.message, "cannot x: it is odd");
    }
}
