//! Replacing and deleting files so that at every instant the old content or the new is there, and
//! so that a failure leaves the old.
//!
//! A new file is written beside the old one and synced, the two change places, and the directory is
//! synced; should that last step fail, they change back. What lies aside has a name of its own kind,
//! by which [`sweep`] finds what a crash left.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::StoreError;

const SUFFIX: &str = ".aside";

/// Writes a file (0600) durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let aside = Aside::write(path, bytes)?;
    let failed = |error| StoreError::new("write", path, error);
    let exchanged = exchange(&aside.path, path).map_err(failed)?;
    if let Err(error) = sync_directory(path) {
        // Nobody may be told that the new content is safe, so the old one comes back.
        let _undone = if exchanged {
            rename(&aside.path, path)
        } else {
            fs::remove_file(path)
        };
        return Err(failed(error));
    }
    Ok(())
}

/// Deletes a file durably; tells whether there was one.
pub(super) fn delete(path: &Path) -> Result<bool, StoreError> {
    let failed = |error| StoreError::new("delete", path, error);
    let aside = Aside::beside(path);
    match rename(path, &aside.path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    }
    if let Err(error) = sync_directory(path).and_then(|()| aside.remove()) {
        let _undone = rename(&aside.path, path);
        return Err(failed(error));
    }
    // The file is gone for good already; this only keeps what lay aside from coming back after a
    // power cut, and the next start would sweep that.
    let _swept = sync_directory(path);
    Ok(true)
}

/// Tells whether a file name is one this module gives to what lies aside.
pub(super) fn is_aside(file_name: &str) -> bool {
    file_name.starts_with('.') && file_name.ends_with(SUFFIX)
}

/// Removes what a crash left aside in a directory. That it cannot be removed now keeps nobody from
/// working: the next start tries again.
pub(super) fn sweep_or_warn(directory: &Path) {
    if let Err(error) = sweep(directory) {
        tracing::warn!(
            FORAGE_EVENT = "leftovers",
            "what a crash left stays: {error}"
        );
    }
}

/// Removes what a crash left aside in a directory.
pub(super) fn sweep(directory: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::new("read", directory, error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if is_aside(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|error| StoreError::new("delete", &path, error))?;
        }
    }
    Ok(())
}

/// A file beside another, removed when it goes out of sight.
struct Aside {
    path: PathBuf,
}

impl Aside {
    fn beside(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let random = getrandom::u64().unwrap_or_default();
        Self {
            path: path.with_file_name(format!(".{name}.{random:016x}{SUFFIX}")),
        }
    }

    fn write(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let aside = Self::beside(path);
        let write = || {
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&aside.path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| StoreError::new("write", path, error))?;
        Ok(aside)
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _gone = self.remove();
    }
}

/// Puts a new file in the place of another. Where there is one the two change places (`true`), so
/// that it can come back; file systems that cannot do that lose the old one.
fn exchange(new: &Path, path: &Path) -> io::Result<bool> {
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => rename(new, path).map(|()| false),
        Err(Errno::INVAL | Errno::NOSYS) => rename(new, path).map(|()| true),
        Err(error) => Err(error.into()),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::rename(from, to)?)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_deletes_without_a_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for content in ["one", "two", ""] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            assert_eq!(names(directory.path()), ["file"]);
        }
        assert!(delete(&path).unwrap());
        assert!(!delete(&path).unwrap());
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn a_failure_leaves_the_old_and_nothing_aside() {
        let directory = tempfile::tempdir().unwrap();
        // A directory in the place of the file: it cannot be written over by a rename.
        let path = directory.path().join("file");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), "").unwrap();
        let missing = directory.path().join("missing/file");
        assert!(replace(&missing, b"new").is_err());
        assert!(!delete(&missing).unwrap());
        assert_eq!(names(directory.path()), ["file"]);
        assert_eq!(names(&path), ["kept"]);
    }

    #[test]
    fn sweeping_takes_only_what_lies_aside() {
        let directory = tempfile::tempdir().unwrap();
        let aside = Aside::beside(&directory.path().join("file.json"));
        fs::write(&aside.path, "half").unwrap();
        std::mem::forget(aside);
        for kept in ["file.json", ".lock", "notes.aside", ".other.tmp"] {
            fs::write(directory.path().join(kept), "").unwrap();
        }
        sweep(directory.path()).unwrap();
        assert_eq!(
            names(directory.path()),
            [".lock", ".other.tmp", "file.json", "notes.aside"]
        );
    }
}
