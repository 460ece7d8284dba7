//! The lock that keeps a second daemon away from the state, held for the life of this one.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

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
        // Not opened for writing: the lock must be had on a file system that is read-only for a time,
        // and must not keep an administrator from making it so.
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
            .map(File::from)
            .map_err(|error| failed(error.into()))?;
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
