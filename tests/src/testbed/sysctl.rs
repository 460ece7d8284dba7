//! Limits of the kernel that a host's boot raises, as our package asks it to. The kernel is this
//! machine's, so they are put back when the last of the hosts ends that run at a time.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

/// The one limit: its name below `/proc/sys`.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Holds the limit as it was before the first host. Every host shares a lock on it.
const BEFORE: &str = "/run/forage-testbed-limit";

/// The limit as it was, and the lock that says that a host needs it raised.
#[derive(Debug)]
pub(super) struct Limits {
    limit: PathBuf,
    before: String,
    lock: File,
}

impl Limits {
    /// Remembers it, or takes over what the hosts remember that run already.
    pub(super) fn remember() -> Result<Self> {
        Self::at(Path::new(BEFORE), Path::new(LIMIT))
            .with_context(|| format!("cannot remember {LIMIT} in {BEFORE}"))
    }

    fn at(path: &Path, limit: &Path) -> Result<Self> {
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut before = String::new();
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            before = fs::read_to_string(limit)?;
            lock.set_len(0)?;
            lock.write_all(before.as_bytes())?;
            flock(&lock, FlockOperation::LockShared)?;
        } else {
            flock(&lock, FlockOperation::LockShared)?;
            lock.read_to_string(&mut before)?;
        }
        Ok(Self {
            limit: limit.to_path_buf(),
            before,
            lock,
        })
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        // Where another host runs, it is the one to put it back.
        if flock(&self.lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return;
        }
        if let Err(error) = fs::write(&self.limit, &self.before) {
            eprintln!("cannot put {} back: {error}", self.limit.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_host_puts_back_what_the_first_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let set = |value: &str| fs::write(path("limit"), value).unwrap();
        let limit = || fs::read_to_string(path("limit")).unwrap();
        let remember = || Limits::at(&path("before"), &path("limit")).unwrap();
        set("128\n");
        let first = remember();
        set("8192\n");
        let second = remember();
        drop(first);
        assert_eq!(limit(), "8192\n");
        let third = remember();
        drop(second);
        assert_eq!(limit(), "8192\n");
        drop(third);
        assert_eq!(limit(), "128\n");
        let again = remember();
        set("4096\n");
        drop(again);
        assert_eq!(limit(), "128\n");
    }
}
