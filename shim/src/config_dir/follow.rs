//! What keeps a copy that cannot be written as the owner's directory is: names that change are
//! looked at again a moment later. What an event says is never believed, only that there was one.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{AtFlags, statat};
use rustix::time::{ClockId, clock_gettime};

use super::left_out::is_left_out;
use super::place::{self, Used};
use super::tree::{SETTLE, SETTLE_NEW, Stop, Tree, open_below};
use crate::sys::time::{Deadline, poll_one, poll_until};

/// How much longer than the work the pauses between it are.
const REST: u32 = 9;
/// The least of these pauses.
const LEAST_REST: Duration = Duration::from_millis(10);
/// How many names may wait; with more, everything is looked at again.
const MOST_WAITING: usize = 50_000;

const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR);

/// A name below the directory: where, and what.
type Name = (PathBuf, CString);

/// Watches over directories.
pub(super) struct Watches {
    inotify: OwnedFd,
    paths: HashMap<i32, PathBuf>,
    /// Whether a directory could not be watched.
    pub(super) incomplete: bool,
}

impl Watches {
    /// Watches nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            paths: HashMap::new(),
            incomplete: false,
        })
    }

    /// Watches an open directory.
    pub(super) fn add(&mut self, directory: &OwnedFd, path: &Path) {
        let own = crate::sys::files::own_path(directory.as_fd());
        match inotify::add_watch(&self.inotify, own, EVENTS) {
            Ok(wd) => {
                self.paths.insert(wd, path.to_owned());
            }
            Err(_) => self.incomplete = true,
        }
    }

    /// Which names changed; `None`: it is not known any more.
    fn changed(&mut self) -> Option<Vec<Name>> {
        let mut buffer = [MaybeUninit::uninit(); 16384];
        let mut names = Vec::new();
        let mut lost = false;
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        while let Ok(event) = reader.next() {
            lost |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            if event.events().contains(ReadFlags::IGNORED) {
                self.paths.remove(&event.wd());
            }
            let name = event.file_name().filter(|name| !name.is_empty());
            if let (Some(path), Some(name)) = (self.paths.get(&event.wd()), name) {
                names.push((path.clone(), name.to_owned()));
            }
        }
        (!lost).then_some(names)
    }
}

/// Follows the changes until the other end of `socket` is closed; `tell` is told what cannot be.
pub(super) fn follow(
    tree: &mut Tree,
    (from, to): (&OwnedFd, &OwnedFd),
    socket: BorrowedFd<'_>,
    mut tell: impl FnMut(&Stop) -> io::Result<()>,
) -> io::Result<()> {
    tree.age = SETTLE_NEW;
    let mut waiting: BTreeMap<Name, Instant> = BTreeMap::new();
    let mut told = None;
    loop {
        let Some(watches) = &mut tree.watches else {
            return Ok(());
        };
        let due = waiting.values().min().copied();
        if wait(socket, watches, due)? {
            return Ok(());
        }
        let (begun, used) = (Instant::now(), worked());
        let changed = watches.changed();
        let done = match changed {
            Some(names) if names.len() + waiting.len() < MOST_WAITING => {
                for name in names {
                    let due = || begun + patience(to, &name);
                    waiting.entry(name.clone()).or_insert_with(due);
                }
                let names = waiting.extract_if(.., |_, due| *due <= begun);
                let mut taken = names.map(|((path, name), _)| take(tree, from, to, &path, &name));
                // Each is tried, whatever becomes of the others.
                taken.by_ref().fold(Ok(()), Result::and)
            }
            _ => {
                waiting.clear();
                anew(tree, from, to)
            }
        };
        if let Err(stop) = done
            && told.as_ref() != Some(&stop)
        {
            tell(&stop)?;
            told = Some(stop);
        }
        let work = worked().saturating_sub(used);
        let rest = Deadline::after((work * REST).max(LEAST_REST));
        if poll_one(socket, PollFlags::IN, rest)? {
            return Ok(());
        }
    }
}

/// How long this thread has had a processor: waiting until a file has settled is no work.
fn worked() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .unwrap_or_default()
}

/// How long a name is left alone.
fn patience(to: &OwnedFd, (path, name): &Name) -> Duration {
    let known = open_below(to, path)
        .and_then(|inner| statat(&inner, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW));
    if known.is_ok() { SETTLE } else { SETTLE_NEW }
}

/// Waits for changes, at most until a time. `true`: the other end of `socket` was closed.
fn wait(socket: BorrowedFd<'_>, watches: &Watches, until: Option<Instant>) -> io::Result<bool> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let mut fds = [
        PollFd::from_borrowed_fd(socket, PollFlags::IN),
        PollFd::new(&watches.inotify, PollFlags::IN),
    ];
    poll_until(&mut fds, left.map(Deadline::after))?;
    Ok(!fds[0].revents().is_empty())
}

/// Looks at everything again.
fn anew(tree: &mut Tree, from: &OwnedFd, to: &OwnedFd) -> Result<(), Stop> {
    tree.used = Used::default();
    tree.again = false;
    tree.directory(from, Some(to), Path::new(""))
}

/// Looks at one name again.
fn take(
    tree: &mut Tree,
    from: &OwnedFd,
    to: &OwnedFd,
    path: &Path,
    name: &CString,
) -> Result<(), Stop> {
    if is_left_out(name.to_bytes(), path.as_os_str().is_empty()) {
        return Ok(());
    }
    // What is gone from where it was is seen by the watch over the directory above.
    let (Ok(from), Ok(inner)) = (open_below(from, path), open_below(to, path)) else {
        return Ok(());
    };
    let before = place::usage(&inner, name);
    tree.used.bytes = tree.used.bytes.saturating_sub(before.bytes);
    tree.used.entries = (tree.used.entries + 1).saturating_sub(before.entries);
    tree.again = true;
    let kept = tree.entry(&from, Some(&inner), name, path);
    if let Ok(true) = kept {
        return Ok(());
    }
    if let Ok(false) = kept {
        place::remove(&inner, name).ok();
    }
    // Whatever was counted for what is not there now.
    tree.used = place::usage(to, c".");
    kept.map(|_| ())
}
