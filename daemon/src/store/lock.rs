//! The lock that keeps a second daemon away from the state, held for the life of this one.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::StoreError;

/// The lock; let go of when dropped.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock in a directory of records.
    pub(crate) fn take(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(".lock");
        let failed = |error| StoreError::new("lock", &path, error);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(failed(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another foraged holds it",
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateLock::take(directory.path()).unwrap();
        let second = StateLock::take(directory.path()).unwrap_err().to_string();
        assert!(second.contains("another foraged"), "{second}");
        drop(first);
        StateLock::take(directory.path()).unwrap();
    }
}
