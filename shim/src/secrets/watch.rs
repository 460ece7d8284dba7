//! Noticing that a secret's file has changed, however that was done: written in place, replaced by
//! a rename, or reached through a link that now points elsewhere (as sops-nix and agenix do).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use forage_api::ident::SecretName;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::trust::walk_safely;
use crate::walk::Step;

/// Secrets whose files may have changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Those that are complete.
    pub now: BTreeSet<SecretName>,
    /// Those that may still be being written.
    pub later: BTreeSet<SecretName>,
}

/// A name whose change matters to a secret.
#[derive(Debug, Clone)]
struct Interest {
    name: OsString,
    last: bool,
    secret: SecretName,
}

/// Watches over secret files.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    paths: BTreeMap<SecretName, PathBuf>,
    interests: HashMap<i32, (PathBuf, Vec<Interest>)>,
}

const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ONLYDIR);

impl Watch {
    /// Begins to watch; `None` where there is nothing to watch. What changed before is not told.
    ///
    /// # Errors
    /// What `inotify_init1` says.
    pub fn over(files: &BTreeMap<SecretName, PathBuf>) -> io::Result<Option<Self>> {
        if files.is_empty() {
            return Ok(None);
        }
        let mut watch = Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            paths: files.clone(),
            interests: HashMap::new(),
        };
        watch.follow();
        Ok(Some(watch))
    }

    /// Tells which secrets to read again, after the descriptor became readable.
    pub fn changes(&mut self) -> Changes {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut changes = Changes::default();
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                let all = self.paths.keys().cloned();
                changes.now.extend(all);
            }
            let name = OsStr::from_bytes(event.file_name().unwrap_or_default().to_bytes());
            if let Some((directory, interests)) = self.interests.get(&event.wd()) {
                for interest in interests.iter().filter(|i| i.name == name) {
                    interest.judge(directory, event.events(), &mut changes);
                }
            }
        }
        if !changes.is_empty() {
            self.follow();
        }
        changes
    }

    /// Watches every directory the paths go through now. A directory whose watch is added again
    /// keeps it, so nothing is missed; those no longer passed through are let go.
    fn follow(&mut self) {
        let mut steps = self.steps();
        let mut interests = self.add(&steps);
        // What appeared between looking and watching shows when looking again.
        for _ in 0..8 {
            let again = self.steps();
            if again == steps {
                break;
            }
            interests = self.add(&again);
            steps = again;
        }
        for wd in self.interests.keys() {
            if !interests.contains_key(wd) {
                inotify::remove_watch(&self.inotify, *wd).ok();
            }
        }
        self.interests = interests;
    }

    fn steps(&self) -> Vec<(SecretName, Step)> {
        let paths = self.paths.iter();
        let steps = paths.flat_map(|(name, path)| {
            walk_safely(path)
                .steps
                .into_iter()
                .map(|s| (name.clone(), s))
        });
        steps.collect()
    }

    fn add(&self, steps: &[(SecretName, Step)]) -> HashMap<i32, (PathBuf, Vec<Interest>)> {
        let mut interests: HashMap<i32, (PathBuf, Vec<Interest>)> = HashMap::new();
        for (secret, step) in steps {
            // A directory that is gone by now shows as a change of its own name.
            let Ok(wd) = inotify::add_watch(&self.inotify, &step.directory, EVENTS) else {
                continue;
            };
            let entry = interests
                .entry(wd)
                .or_insert_with(|| (step.directory.clone(), Vec::new()));
            entry.1.push(Interest {
                name: step.name.clone(),
                last: step.last,
                secret: secret.clone(),
            });
        }
        interests
    }
}

impl Interest {
    /// The creation of a file that is empty still is not yet the change: its closing is. Who reads it
    /// finds out whether somebody is writing it.
    fn judge(&self, directory: &Path, events: ReadFlags, changes: &mut Changes) {
        let secret = self.secret.clone();
        if events.contains(ReadFlags::CLOSE_WRITE) && !self.last {
            return;
        }
        if events.contains(ReadFlags::CREATE) && self.last {
            let meta = fs::symlink_metadata(directory.join(&self.name));
            if meta.is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
                changes.later.insert(secret);
                return;
            }
        }
        changes.now.insert(secret);
    }
}

impl Changes {
    /// Tells whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }
}

impl AsFd for Watch {
    /// Readable when something happened.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn watch(path: &Path) -> Watch {
        let files = [("key".parse().unwrap(), path.to_path_buf())];
        Watch::over(&files.into()).unwrap().unwrap()
    }

    fn top() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().canonicalize().unwrap();
        (top, path)
    }

    #[test]
    fn a_file_written_in_place_counts_when_it_is_closed() {
        let (_keep, top) = top();
        let path = top.join("key");
        fs::write(&path, "old").unwrap();
        let mut watch = watch(&path);
        let mut file = fs::File::create(&path).unwrap();
        io::Write::write_all(&mut file, b"new").unwrap();
        assert!(watch.changes().now.is_empty());
        drop(file);
        assert_eq!(watch.changes().now.len(), 1);
        fs::write(top.join("other"), "x").unwrap();
        assert!(watch.changes().now.is_empty());
    }

    #[test]
    fn a_file_replaced_removed_and_made_again() {
        let (_keep, top) = top();
        let path = top.join("key");
        fs::write(&path, "old").unwrap();
        let mut watch = watch(&path);
        fs::write(top.join("fresh"), "new").unwrap();
        fs::rename(top.join("fresh"), &path).unwrap();
        assert_eq!(watch.changes().now.len(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(watch.changes().now.len(), 1);
        let file = fs::File::create(&path).unwrap();
        assert!(watch.changes().now.is_empty());
        drop(file);
        assert_eq!(watch.changes().now.len(), 1);
        fs::write(top.join("whole"), "linked").unwrap();
        fs::remove_file(&path).unwrap();
        watch.changes();
        fs::hard_link(top.join("whole"), &path).unwrap();
        assert_eq!(watch.changes().now.len(), 1);
        fs::remove_file(&path).unwrap();
        watch.changes();
        fs::hard_link(top.join("whole"), &path).unwrap();
        fs::remove_file(top.join("whole")).unwrap();
        let changes = watch.changes();
        assert!(changes.now.len() == 1 && changes.later.is_empty());
    }

    #[test]
    fn a_link_that_points_elsewhere() {
        let (_keep, top) = top();
        for generation in ["1", "2"] {
            fs::create_dir_all(top.join("d").join(generation)).unwrap();
            fs::write(top.join("d").join(generation).join("key"), generation).unwrap();
        }
        symlink(top.join("d/1"), top.join("secrets")).unwrap();
        let mut watch = watch(&top.join("secrets/key"));
        symlink(top.join("d/2"), top.join("fresh")).unwrap();
        fs::rename(top.join("fresh"), top.join("secrets")).unwrap();
        assert_eq!(watch.changes().now.len(), 1);
        // The new generation is watched now, the old one no longer.
        fs::write(top.join("d/1/key"), "x").unwrap();
        assert!(watch.changes().now.is_empty());
        fs::write(top.join("d/2/key"), "x").unwrap();
        assert_eq!(watch.changes().now.len(), 1);
    }

    #[test]
    fn directories_above_that_are_swapped() {
        let (_keep, top) = top();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/key"), "old").unwrap();
        let mut watch = watch(&top.join("a/b/key"));
        fs::rename(top.join("a"), top.join("gone")).unwrap();
        assert_eq!(watch.changes().now.len(), 1);
        fs::create_dir_all(top.join("a/b")).unwrap();
        assert_eq!(watch.changes().now.len(), 1);
        fs::write(top.join("a/b/key"), "new").unwrap();
        assert_eq!(watch.changes().now.len(), 1);
    }
}
