//! The way a path takes: every directory and name it goes through, links followed, one name at a
//! time. What is found is only a place, nothing is opened for reading, and a file system that a
//! program provides (FUSE) is not asked anything, since it need not answer.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::sys::files::Mounts;

/// One step: a name looked up in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The directory, itself free of links.
    pub directory: PathBuf,
    /// The name.
    pub name: OsString,
    /// Whether the path ends here, at something that is not a link.
    pub last: bool,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lost {
    /// A name does not exist.
    Missing,
    /// The path goes on after something that is not a directory.
    NotADirectory,
    /// The path goes through too many links.
    TooManyLinks,
    /// The path enters a file system that a program provides.
    Fuse,
    /// The system refuses a step; the error's number.
    System(i32),
    /// The caller refuses a step.
    Refused(String),
}

impl From<Errno> for Lost {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Missing,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::LOOP => Self::TooManyLinks,
            error => Self::System(error.raw_os_error()),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// A way, as far as it leads.
#[derive(Debug)]
pub struct Way {
    /// The steps; the one that failed is included.
    pub steps: Vec<Step>,
    /// What the path means: a place (`O_PATH`), not open for reading.
    pub end: Result<OwnedFd, Lost>,
}

/// Judges a step: the directory, and what was found in it.
pub type Judge<'a> = &'a mut dyn FnMut(&OwnedFd, &OwnedFd) -> Result<(), Lost>;

/// The most links a path may go through, as in the kernel.
const MAX_LINKS: usize = 40;
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Walks an absolute path.
pub fn walk(path: &Path, judge: Judge<'_>) -> Way {
    let mut walker = Walker {
        steps: Vec::new(),
        stack: Vec::new(),
        left: names(path),
        links: 0,
        mounts: Mounts::default(),
    };
    let end = walker.walk(judge);
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
    mounts: Mounts,
}

impl Walker {
    fn walk(&mut self, judge: Judge<'_>) -> Result<OwnedFd, Lost> {
        self.restart()?;
        while let Some(name) = self.left.pop_front() {
            if name == ".." {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
            } else if let Some(end) = self.step(name, judge)? {
                return Ok(end);
            }
        }
        let end = self.stack.pop().map(|(directory, _)| directory);
        end.ok_or(Lost::Missing)
    }

    fn restart(&mut self) -> Result<(), Lost> {
        let root = openat(CWD, c"/", PLACE, Mode::empty())?;
        self.stack = vec![(root, PathBuf::from("/"))];
        Ok(())
    }

    /// Looks one name up; gives the file when the path ends there.
    fn step(&mut self, name: OsString, judge: Judge<'_>) -> Result<Option<OwnedFd>, Lost> {
        let Some((directory, path)) = self.stack.last() else {
            return Err(Lost::Missing);
        };
        let ends = self.left.is_empty();
        self.steps.push(Step {
            directory: path.clone(),
            name: name.clone(),
            last: ends,
        });
        let found = find(directory.as_fd(), &name, &mut self.mounts)?;
        judge(directory, &found)?;
        let full = path.join(&name);
        match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::Symlink => {
                if let Some(step) = self.steps.last_mut() {
                    step.last = false;
                }
                self.follow(&found)?;
                Ok(None)
            }
            FileType::Directory => {
                self.stack.push((found, full));
                Ok(None)
            }
            _ if ends => Ok(Some(found)),
            _ => Err(Lost::NotADirectory),
        }
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<(), Lost> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Lost::TooManyLinks);
        }
        let target = readlinkat(link, c"", Vec::new())?;
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

/// Opens a name as a place. One that mounts itself when it is entered is entered.
fn find(directory: BorrowedFd<'_>, name: &OsStr, mounts: &mut Mounts) -> Result<OwnedFd, Lost> {
    let found = openat(directory, name, PLACE, Mode::empty())?;
    let found = match mounts.kind(found.as_fd())? {
        "autofs" => openat(directory, Path::new(name).join("."), PLACE, Mode::empty())?,
        _ => found,
    };
    if mounts.kind(found.as_fd())?.starts_with("fuse") {
        return Err(Lost::Fuse);
    }
    Ok(found)
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
    use std::os::unix::fs::symlink;

    fn top() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().canonicalize().unwrap();
        (top, path)
    }

    fn free(path: &Path) -> Way {
        walk(path, &mut |_, _| Ok(()))
    }

    fn below(top: &Path, path: &str) -> Vec<(String, String, bool)> {
        free(&top.join(path))
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
        assert!(free(&top.join("link")).end.is_ok());
        assert!(free(&top.join("link/..")).end.is_err());
        assert!(free(&top.join("secrets/..")).end.is_ok());
        assert!(free(Path::new("/")).end.is_ok());
    }

    #[test]
    fn what_is_missing_ends_the_walk() {
        let (_keep, top) = top();
        assert_eq!(below(&top, "a/b"), [step("", "a", false)]);
        assert_eq!(below(&top, "a"), [step("", "a", true)]);
        assert_eq!(free(&top.join("a")).end.unwrap_err(), Lost::Missing);
        symlink("loop", top.join("loop")).unwrap();
        assert_eq!(below(&top, "loop").len(), MAX_LINKS + 1);
    }

    #[test]
    fn a_step_can_be_refused() {
        let (_keep, top) = top();
        fs::write(top.join("key"), "x").unwrap();
        let no = || Err(Lost::Refused("no".to_owned()));
        let way = walk(&top.join("key"), &mut |_, _| no());
        assert_eq!(way.end.unwrap_err(), Lost::Refused("no".to_owned()));
        let file = free(&top.join("key/more")).end;
        assert_eq!(file.unwrap_err(), Lost::NotADirectory);
    }
}
