//! The way a path takes: every directory and name it goes through, links followed, one name at a
//! time. What changes at any of them changes what the path means, so these are the places to watch.
//!
//! The configuration names the path, but somebody else may own a part of the way. Root must not read
//! for that user what the user could not: from a place a user owns the way leads only to what the
//! same user owns, and a place where anyone can replace names leads nowhere.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

use super::source::Unusable;

/// One step: a name looked up in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The directory, itself free of links.
    pub(super) directory: PathBuf,
    /// The name.
    pub(super) name: OsString,
    /// Whether the path ends here, at something that is not a link.
    pub(super) last: bool,
}

/// A way, as far as it leads.
#[derive(Debug)]
pub(super) struct Way {
    /// The steps; the one that failed is included.
    pub(super) steps: Vec<Step>,
    /// What the path means: open as a place, not for reading.
    pub(super) end: Result<OwnedFd, Unusable>,
}

/// The most links a path may go through, as in the kernel.
const MAX_LINKS: usize = 40;
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Walks a path.
pub(super) fn walk(path: &Path) -> Way {
    let mut walker = Walker {
        steps: Vec::new(),
        stack: Vec::new(),
        left: names(path),
        links: 0,
        user: 0,
    };
    let end = walker.walk();
    Way {
        steps: walker.steps,
        end,
    }
}

struct Walker {
    steps: Vec<Step>,
    /// The directories from the root to where the walk has got, and what each is called.
    stack: Vec<(OwnedFd, PathBuf)>,
    left: VecDeque<OsString>,
    links: usize,
    /// The user who could have laid the way from here on; root at first.
    user: u32,
}

impl Walker {
    fn walk(&mut self) -> Result<OwnedFd, Unusable> {
        self.restart()?;
        while let Some(name) = self.left.pop_front() {
            if name == ".." {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            if let Some(end) = self.step(name)? {
                return Ok(end);
            }
        }
        Err(Unusable::Wrong("it is a directory"))
    }

    fn restart(&mut self) -> Result<(), Unusable> {
        let root = openat(CWD, c"/", PLACE, Mode::empty()).map_err(unreadable)?;
        self.stack = vec![(root, PathBuf::from("/"))];
        Ok(())
    }

    /// Looks one name up; gives the file when the path ends there.
    fn step(&mut self, name: OsString) -> Result<Option<OwnedFd>, Unusable> {
        let Some((directory, path)) = self.stack.last() else {
            return Err(Unusable::Missing);
        };
        let ends = self.left.is_empty();
        self.steps.push(Step {
            directory: path.clone(),
            name: name.clone(),
            last: ends,
        });
        let found = openat(directory, &name, PLACE, Mode::empty()).map_err(unreadable)?;
        let (above, stat) = (stat(directory)?, stat(&found)?);
        self.user = next_user(self.user, &above, &stat)?;
        let full = path.join(&name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                if let Some(step) = self.steps.last_mut() {
                    step.last = false;
                }
                self.follow(&found)?;
            }
            FileType::Directory => self.stack.push((found, full)),
            _ if ends => return Ok(Some(found)),
            _ => return Err(Unusable::Missing),
        }
        Ok(None)
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<(), Unusable> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Unusable::Wrong("its path goes through too many links"));
        }
        let target = readlinkat(link, c"", Vec::new()).map_err(unreadable)?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.restart()?;
        }
        for name in names(&target).into_iter().rev() {
            self.left.push_front(name);
        }
        Ok(())
    }
}

/// Who could have laid the way after one more step: `user` could so far, the entry `found` lies in
/// the directory `above`.
fn next_user(user: u32, above: &Stat, found: &Stat) -> Result<u32, Unusable> {
    const STICKY: u32 = 0o1000;
    let open_to_others = above.st_mode & 0o022 != 0;
    if open_to_others && above.st_mode & STICKY == 0 {
        return Err(Unusable::Wrong(
            "it lies in a directory that others can write to",
        ));
    }
    // In a directory like /tmp whoever owns an entry made it.
    let maker = if open_to_others {
        found.st_uid
    } else {
        above.st_uid
    };
    let user = if user == 0 { maker } else { user };
    if user != 0 && found.st_uid != user {
        return Err(Unusable::Wrong(
            "a user who owns a part of its path made it lead to what somebody else owns",
        ));
    }
    Ok(user)
}

fn stat(file: &OwnedFd) -> Result<Stat, Unusable> {
    fstat(file).map_err(unreadable)
}

fn unreadable(error: Errno) -> Unusable {
    match error {
        Errno::NOENT | Errno::NOTDIR => Unusable::Missing,
        error => Unusable::Unreadable(crate::fail::reason(&error.into())),
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn top() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().canonicalize().unwrap();
        (top, path)
    }

    fn below(top: &Path, path: &str) -> Vec<(String, String, bool)> {
        walk(&top.join(path))
            .steps
            .into_iter()
            .filter_map(|step| {
                let directory = step.directory.strip_prefix(top).ok()?;
                let name = step.name.to_string_lossy().into_owned();
                Some((directory.display().to_string(), name, step.last))
            })
            .collect()
    }

    fn step(directory: &str, name: &str, last: bool) -> (String, String, bool) {
        (directory.to_owned(), name.to_owned(), last)
    }

    #[test]
    fn links_at_every_level_are_steps() {
        let (_keep, top) = top();
        fs::create_dir_all(top.join("secrets.d/1")).unwrap();
        fs::write(top.join("secrets.d/1/key"), "x").unwrap();
        symlink(top.join("secrets.d/1"), top.join("secrets")).unwrap();
        symlink("secrets/../1/key", top.join("link")).unwrap();
        let expected = [
            step("", "link", false),
            step("", "secrets", false),
            step("", "secrets.d", false),
            step("secrets.d", "1", false),
            step("secrets.d", "1", false),
            step("secrets.d/1", "key", true),
        ];
        assert_eq!(below(&top, "link"), expected);
        assert!(walk(&top.join("link")).end.is_ok());
    }

    #[test]
    fn what_is_missing_ends_the_walk() {
        let (_keep, top) = top();
        assert_eq!(below(&top, "a/b"), [step("", "a", false)]);
        assert_eq!(below(&top, "a"), [step("", "a", true)]);
        assert_eq!(walk(&top.join("a")).end.unwrap_err(), Unusable::Missing);
        symlink("loop", top.join("loop")).unwrap();
        assert_eq!(below(&top, "loop").len(), MAX_LINKS + 1);
    }

    #[test]
    fn a_directory_open_to_others_leads_nowhere() {
        let (_keep, top) = top();
        fs::write(top.join("key"), "x").unwrap();
        fs::set_permissions(&top, fs::Permissions::from_mode(0o775)).unwrap();
        let end = walk(&top.join("key")).end;
        assert!(matches!(end, Err(Unusable::Wrong(why)) if why.contains("others can write")));
    }

    #[test]
    fn who_could_have_laid_the_way() {
        let mut above = fstat(fs::File::open("/dev/null").unwrap()).unwrap();
        let mut found = above;
        let mut next = |user, directory: (u32, u32), owner| {
            (above.st_uid, above.st_mode) = directory;
            found.st_uid = owner;
            next_user(user, &above, &found).ok()
        };
        // Root's directories: whatever root put there.
        assert_eq!(next(0, (0, 0o755), 0), Some(0));
        assert_eq!(next(0, (0, 0o755), 1000), Some(0));
        // A user's: only the user's own, from there on.
        assert_eq!(next(0, (1000, 0o755), 1000), Some(1000));
        assert_eq!(next(0, (1000, 0o755), 0), None);
        assert_eq!(next(0, (1000, 0o755), 1001), None);
        assert_eq!(next(1000, (0, 0o755), 0), None);
        assert_eq!(next(1000, (0, 0o755), 1000), Some(1000));
        // Directories open to others.
        assert_eq!(next(0, (0, 0o1777), 1000), Some(1000));
        assert_eq!(next(0, (0, 0o1777), 0), Some(0));
        assert_eq!(next(0, (0, 0o777), 0), None);
        assert_eq!(next(0, (0, 0o775), 0), None);
        assert_eq!(next(1000, (1000, 0o775), 1000), None);
    }
}
