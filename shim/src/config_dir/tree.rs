//! The owner's directory, walked with the owner's rights and within limits: first to see how much it
//! is, then to copy it. Anything in it may be changed, swapped or moved meanwhile.
//!
//! No link is followed, no other mount entered, and nothing but regular files is ever opened for
//! reading: a pipe, a device or a file system that does not answer is passed by.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Statx, readlinkat, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::file::{ASK_NOBODY, Copied, LOOK, copy, is_same, kind, open_in};
use super::follow::Watches;
use super::left_out::is_left_out;
use super::place::{self, Used};

/// How many files, directories and links there may be.
pub(super) const MOST_ENTRIES: u64 = 100_000;
/// How deep directories may lie in each other.
pub(super) const MOST_DEPTH: usize = 64;
/// How long a file is left alone after it changed. One that is written under another name before it
/// becomes a credential has its own name by then.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// How long a name is left alone that appears while the sandbox runs.
pub(super) const SETTLE_NEW: Duration = Duration::from_secs(1);
/// How often a file is copied again that was replaced meanwhile.
const TRIES: usize = 3;

/// Why a directory cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stop {
    /// It is larger than it may be; where most of it lies.
    Large(String),
    /// It has too many entries.
    Many,
    /// It is too deep.
    Deep,
    /// The sandbox's tmpfs is full.
    Full,
    /// The copy cannot be written.
    Broken(String),
}

impl Stop {
    pub(super) fn writing(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Broken(crate::fail::reason(error)),
        }
    }
}

/// A walk.
pub(super) struct Tree {
    /// How many bytes there may be.
    most: u64,
    /// The mount everything must lie on.
    mount: u64,
    /// How much there is.
    pub(super) used: Used,
    /// How much was passed by: no regular file, not readable, or another mount.
    pub(super) skipped: u64,
    /// Whether a file that looks as it did is copied again, since a change may be too quick for its
    /// time; and it was left alone already.
    pub(super) again: bool,
    /// How long other files must have been left alone.
    pub(super) age: Duration,
    /// The entry at the top with the most in it.
    largest: (u64, OsString),
    /// What is to be told of changes.
    pub(super) watches: Option<Watches>,
}

impl Tree {
    /// Begins a walk at an open directory.
    pub(super) fn at(top: &OwnedFd, most: u64) -> io::Result<Self> {
        let found = statx(top, c"", AtFlags::EMPTY_PATH, LOOK)?;
        Ok(Self {
            most,
            mount: found.stx_mnt_id,
            used: Used::default(),
            skipped: 0,
            again: false,
            age: SETTLE,
            largest: (0, OsString::new()),
            watches: None,
        })
    }

    /// Walks a directory; with `to`, what is in it is copied there, and what is there beside it goes.
    pub(super) fn directory(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        path: &Path,
    ) -> Result<(), Stop> {
        let depth = path.iter().count();
        if depth > MOST_DEPTH {
            return Err(Stop::Deep);
        }
        if let Some(watches) = &mut self.watches {
            watches.add(from, path);
        }
        let Ok(entries) = Dir::read_from(from.as_fd()) else {
            self.skipped += 1;
            return Ok(());
        };
        let mut kept = BTreeSet::new();
        for entry in entries {
            let Ok(entry) = entry else {
                // What was not told of is not known to be gone.
                self.skipped += 1;
                return Ok(());
            };
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            self.count()?;
            if is_left_out(name.to_bytes(), depth == 0) {
                continue;
            }
            let before = self.used.bytes;
            let done = self.entry(from, to, name, path);
            if depth == 0 && self.used.bytes.saturating_sub(before) > self.largest.0 {
                let name = OsStr::from_bytes(name.to_bytes()).to_owned();
                self.largest = (self.used.bytes - before, name);
            }
            if done.map_err(|stop| self.explained(stop))? {
                kept.insert(name.to_owned());
            }
        }
        to.map_or(Ok(()), |to| prune(to, &kept))
    }

    fn count(&mut self) -> Result<(), Stop> {
        self.used.entries += 1;
        if self.used.entries > MOST_ENTRIES {
            return Err(Stop::Many);
        }
        Ok(())
    }

    fn explained(&self, stop: Stop) -> Stop {
        match stop {
            Stop::Large(_) => Stop::Large(self.largest.1.to_string_lossy().into_owned()),
            other => other,
        }
    }

    /// Takes one name. `false`: nothing of that name is to be seen.
    pub(super) fn entry(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        name: &CStr,
        path: &Path,
    ) -> Result<bool, Stop> {
        let found = match statx(from, name, ASK_NOBODY, LOOK) {
            Ok(found) if found.stx_mnt_id == self.mount => found,
            Err(Errno::NOENT) => return Ok(false),
            _ => return Ok(self.pass_by()),
        };
        match kind(&found) {
            FileType::Directory => self.enter(from, to, name, path),
            FileType::RegularFile => self.file(from, to, name, &found),
            FileType::Symlink => self.link(from, to, name),
            _ => Ok(self.pass_by()),
        }
    }

    fn pass_by(&mut self) -> bool {
        self.skipped += 1;
        false
    }

    fn enter(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        name: &CStr,
        path: &Path,
    ) -> Result<bool, Stop> {
        let Ok(inner) = open_in(from, name, OFlags::DIRECTORY) else {
            return Ok(self.pass_by());
        };
        let made = to.map(|to| place::directory(to, name)).transpose();
        let made = made.map_err(|error| Stop::writing(&error))?;
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        self.again = false;
        self.directory(&inner, made.as_ref(), &path)?;
        Ok(true)
    }

    fn link(&mut self, from: &OwnedFd, to: Option<&OwnedFd>, name: &CStr) -> Result<bool, Stop> {
        let Some(to) = to else { return Ok(true) };
        let Ok(target) = readlinkat(from, name, Vec::new()) else {
            return Ok(self.pass_by());
        };
        place::link(to, name, &target).map_err(|error| Stop::writing(&error))?;
        Ok(true)
    }

    fn file(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        name: &CStr,
        found: &Statx,
    ) -> Result<bool, Stop> {
        let Some(to) = to else {
            return self.add(found.stx_size).map(|()| true);
        };
        if !self.again && is_same(to, name, found) {
            return self.add(found.stx_size).map(|()| true);
        }
        for _ in 0..TRIES {
            let room = self.most.saturating_sub(self.used.bytes);
            let age = if self.again { Duration::ZERO } else { self.age };
            match copy(from, to, name, room, age) {
                Ok(Copied::Whole(bytes)) => return self.add(bytes).map(|()| true),
                Ok(Copied::Replaced) => {}
                Ok(Copied::Unreadable) => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(self.pass_by())
    }

    fn add(&mut self, bytes: u64) -> Result<(), Stop> {
        self.used.bytes = self.used.bytes.saturating_add(bytes);
        if self.used.bytes > self.most {
            return Err(Stop::Large(String::new()));
        }
        Ok(())
    }
}

/// Opens a directory below another.
pub(super) fn open_below(top: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    open_in(top, &path, OFlags::DIRECTORY)
}

fn prune(to: &OwnedFd, kept: &BTreeSet<CString>) -> Result<(), Stop> {
    let names = place::names(to).map_err(|error| Stop::writing(&error))?;
    for name in names.iter().filter(|name| !kept.contains(*name)) {
        place::remove(to, name).map_err(|error| Stop::writing(&error))?;
    }
    Ok(())
}
