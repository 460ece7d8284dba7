//! What can go wrong with files.

use std::io;
use std::path::{Path, PathBuf};

use forage_api::{ErrorKind, Failure};

/// A file that could not be read, written or deleted.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {source}", path = path.display())]
pub(crate) struct StoreError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    /// Names what was done to what.
    pub(super) fn new(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self {
            operation,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let directory = error.path.parent().unwrap_or(&error.path).display();
        let hint = match error.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("free space on the file system of {directory}")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                // A daemon that was started meanwhile sees its own mount of it, which stays read-only.
                format!(
                    "make the file system of {directory} writable again; if it is: systemctl \
                     restart firefly-forage"
                )
            }
            io::ErrorKind::PermissionDenied => {
                format!("{directory} must belong to foraged; see: systemctl status firefly-forage")
            }
            io::ErrorKind::NotFound => {
                "the state directory is gone or not mounted; see: findmnt --target \
                 /var/lib/firefly-forage"
                    .into()
            }
            _ => format!("see the kernel's messages about the file system of {directory}"),
        };
        Self::new(ErrorKind::StorageFailed, error.to_string()).hint(hint)
    }
}
