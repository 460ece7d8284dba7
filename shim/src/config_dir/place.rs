//! The sandbox's side: a directory on its own tmpfs, written through a mount that maps its owner to
//! the agent. Whatever is there before, what is put there is complete when it shows.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Timestamps, futimens, mkdirat, openat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

/// What is being written. A file of this name in the owner's directory is renamed over it.
const FRESH: &CStr = c".forage-fresh";

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

/// A directory, made where there is none.
pub(super) fn directory(at: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    if kind(at, name).is_some_and(|kind| kind != FileType::Directory) {
        unlinkat(at, name, AtFlags::empty())?;
    }
    match mkdirat(at, name, Mode::RWXU) {
        Err(Errno::EXIST) => {}
        other => other?,
    }
    Ok(openat(at, name, DIRECTORY, Mode::empty())?)
}

/// A link, in the place of what was there.
pub(super) fn link(at: &OwnedFd, name: &CStr, target: &CStr) -> io::Result<()> {
    forget(at);
    symlinkat(target, at, FRESH)?;
    publish(at, name)
}

/// A file that is being written and not to be seen yet.
pub(super) fn fresh(at: &OwnedFd, executable: bool) -> io::Result<File> {
    forget(at);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = if executable {
        Mode::RWXU
    } else {
        Mode::RUSR | Mode::WUSR
    };
    Ok(openat(at, FRESH, flags, mode)?.into())
}

/// Lets the file be seen that was written.
pub(super) fn finish(at: &OwnedFd, name: &CStr, file: &File, times: &Timestamps) -> io::Result<()> {
    futimens(file, times)?;
    publish(at, name)
}

/// Gives up what was being written.
pub(super) fn forget(at: &OwnedFd) {
    unlinkat(at, FRESH, AtFlags::empty()).ok();
}

fn publish(at: &OwnedFd, name: &CStr) -> io::Result<()> {
    if kind(at, name) == Some(FileType::Directory) {
        remove(at, name)?;
    }
    Ok(renameat(at, FRESH, at, name)?)
}

fn kind(at: &OwnedFd, name: &CStr) -> Option<FileType> {
    let found = statat(at, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(found.st_mode))
}

/// Removes whatever is there.
pub(super) fn remove(at: &OwnedFd, name: &CStr) -> io::Result<()> {
    match kind(at, name) {
        None => Ok(()),
        Some(FileType::Directory) => {
            let inner = openat(at, name, DIRECTORY, Mode::empty())?;
            for entry in names(&inner)? {
                remove(&inner, &entry)?;
            }
            Ok(unlinkat(at, name, AtFlags::REMOVEDIR)?)
        }
        Some(_) => Ok(unlinkat(at, name, AtFlags::empty())?),
    }
}

/// What is in a directory.
pub(super) fn names(directory: &OwnedFd) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.as_fd())? {
        let name = entry?.file_name().to_owned();
        if ![c".", c".."].contains(&name.as_c_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// How much a name stands for.
pub(super) fn usage(at: &OwnedFd, name: &CStr) -> Used {
    let Ok(found) = statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Used::default();
    };
    let mut used = Used {
        bytes: 0,
        entries: 1,
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => used.bytes = u64::try_from(found.st_size).unwrap_or_default(),
        FileType::Directory => {
            let Ok(inner) = openat(at, name, DIRECTORY, Mode::empty()) else {
                return used;
            };
            for name in names(&inner).unwrap_or_default() {
                let more = usage(&inner, &name);
                used.bytes += more.bytes;
                used.entries += more.entries;
            }
        }
        _ => {}
    }
    used
}
