//! Seeing that a path has come to mean another file, or the file another content: by inotify.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::chain::{Step, chain};

/// How often the way is walked again at most when it changes while it is walked. After that, whoever
/// changes it makes an event.
const MOST_WALKS: usize = 8;

/// Watches the way to a file.
pub(super) struct Eyes {
    path: PathBuf,
    inotify: AsyncFd<OwnedFd>,
    /// By watch, the entries that matter.
    watched: HashMap<i32, HashSet<OsString>>,
}

impl Eyes {
    /// Begins to watch. What happens from now on is seen.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut eyes = Self {
            path: std::path::absolute(path)?,
            inotify: super::waited_for(fd)?,
            watched: HashMap::new(),
        };
        eyes.follow()?;
        Ok(eyes)
    }

    /// Waits for something that may be a change; `follow` is to be called before the file is read.
    pub(super) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.inotify.poll_read_ready(context))?;
            match matters(ready.get_inner(), &self.watched) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Watches the way as it is now.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        let mut way = chain(&self.path);
        for _ in 0..MOST_WALKS {
            self.watch(&way)?;
            let now = chain(&self.path);
            if now == way {
                break;
            }
            way = now;
        }
        Ok(())
    }

    fn watch(&mut self, way: &[Step]) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let mut watched: HashMap<i32, HashSet<OsString>> = HashMap::new();
        for (directory, name) in way {
            match inotify::add_watch(self.inotify.get_ref(), directory, flags) {
                Ok(watch) => {
                    watched.entry(watch).or_default().insert(name.clone());
                }
                // It has just gone, or is not ours to read: the steps before it are watched.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for old in self.watched.keys().filter(|old| !watched.contains_key(old)) {
            // One whose directory has gone is gone, too.
            let _gone = inotify::remove_watch(self.inotify.get_ref(), *old);
        }
        self.watched = watched;
        Ok(())
    }
}

/// Reads what has happened; tells whether something of it matters.
fn matters(inotify: &OwnedFd, watched: &HashMap<i32, HashSet<OsString>>) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut any = false;
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) => return Ok(any),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED | ReadFlags::UNMOUNT;
        let name = event
            .file_name()
            .map(|name| OsStr::from_bytes(name.to_bytes()));
        let known = watched.get(&event.wd());
        any |= match (known, name) {
            // One that was removed still has its last word.
            (None, _) => event.events().contains(ReadFlags::QUEUE_OVERFLOW),
            (Some(names), Some(name)) => names.contains(name),
            (Some(_), None) => event.events().intersects(lost),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::future::poll_fn;
    use std::os::unix::fs::symlink;

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    }

    #[test]
    fn every_way_to_change_a_file_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let there = |path: &str| root.join(path);
        runtime().block_on(async {
            let mut eyes = Eyes::open(&there("claude/file")).unwrap();
            let changes: [(&str, &dyn Fn()); 10] = [
                ("made", &|| fs::create_dir(there("claude")).unwrap()),
                ("written", &|| fs::write(there("claude/file"), "1").unwrap()),
                ("in place", &|| {
                    fs::write(there("claude/file"), "2").unwrap()
                }),
                ("renamed over", &|| {
                    fs::write(there("claude/new"), "3").unwrap();
                    fs::rename(there("claude/new"), there("claude/file")).unwrap();
                }),
                ("deleted", &|| {
                    fs::remove_file(there("claude/file")).unwrap()
                }),
                ("directory away", &|| {
                    fs::rename(there("claude"), there("elsewhere")).unwrap();
                }),
                ("linked", &|| symlink("elsewhere", there("claude")).unwrap()),
                ("behind the link", &|| {
                    fs::write(there("elsewhere/file"), "4").unwrap();
                }),
                ("its target away", &|| {
                    fs::rename(there("elsewhere"), there("nowhere")).unwrap();
                }),
                ("the link", &|| {
                    symlink("nowhere", there("next")).unwrap();
                    fs::rename(there("next"), there("claude")).unwrap();
                }),
            ];
            for (what, change) in changes {
                change();
                let seen = poll_fn(|context| eyes.poll_change(context));
                let seen = tokio::time::timeout(std::time::Duration::from_secs(10), seen).await;
                assert!(matches!(seen, Ok(Ok(()))), "{what}");
                eyes.follow().unwrap();
                // What else the change made has been seen with it.
                let _rest = matters(eyes.inotify.get_ref(), &eyes.watched).unwrap();
            }
        });
    }

    #[test]
    fn what_happens_beside_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("claude")).unwrap();
        runtime().block_on(async {
            let eyes = Eyes::open(&root.join("claude/file")).unwrap();
            fs::write(root.join("other"), "x").unwrap();
            fs::write(root.join("claude/other"), "x").unwrap();
            fs::remove_file(root.join("claude/other")).unwrap();
            assert!(!matters(eyes.inotify.get_ref(), &eyes.watched).unwrap());
            fs::write(root.join("claude/file"), "x").unwrap();
            assert!(matters(eyes.inotify.get_ref(), &eyes.watched).unwrap());
        });
    }
}
