//! The guard of a sandbox's place in the window of uids: a file of root's that is locked for the
//! shim's life, so that two containers can never run with the same uids, whatever the records say.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use forage_api::ident::Slot;
use forage_api::{ErrorKind, Failure, places};
use rustix::fs::{FlockOperation, flock};

/// A slot that belongs to this process until it ends.
#[derive(Debug)]
pub struct SlotGuard {
    file: File,
    path: PathBuf,
}

impl SlotGuard {
    /// Gives the slot back for good: its lock's file goes too.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Takes a slot.
///
/// # Errors
/// Another process has it, or the lock's file cannot be made.
pub fn take(slot: Slot) -> Result<SlotGuard, Failure> {
    take_in(Path::new(places::PINS), slot)
}

fn take_in(directory: &Path, slot: Slot) -> Result<SlotGuard, Failure> {
    let path = directory.join(format!("slot-{slot}"));
    let failed = |error: io::Error| {
        crate::fail::start(format_args!("lock {}", path.display()), error)
            .hint("create the runtime directories: systemd-tmpfiles --create")
    };
    loop {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(slot)),
            Err(error) => return Err(failed(error.into())),
        }
        let guard = SlotGuard {
            file,
            path: path.clone(),
        };
        // A removal may have deleted the file between its opening and its locking.
        if guard.file.metadata().map_err(failed)?.nlink() > 0 {
            return Ok(guard);
        }
    }
}

fn in_use(slot: Slot) -> Failure {
    Failure::new(
        ErrorKind::Busy,
        format!("the place {slot} for uids is in use: the sandbox, or another one, still runs"),
    )
    .hint("stop the sandbox first, or try again when it has stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let slot = Slot::try_from(7).unwrap();
        let held = take_in(directory.path(), slot).unwrap();
        let second = take_in(directory.path(), slot).unwrap_err();
        assert_eq!(second.kind, ErrorKind::Busy);
        drop(held);
        take_in(directory.path(), slot).unwrap().discard().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        take_in(directory.path(), slot).unwrap();
    }
}
