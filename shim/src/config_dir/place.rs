//! The sandbox's side: a directory on its own tmpfs, written through a mount that maps its owner to
//! the agent. Whatever is there before, what is put there is complete when it shows.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Timestamps, futimens, linkat, mkdirat, openat,
    renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::sys::files::own_path;

/// What is about to replace something. Of the owner's nothing has this name.
pub(super) const FRESH: &CStr = c".forage-fresh";

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

/// A link.
pub(super) fn link(at: &OwnedFd, name: &CStr, target: &CStr) -> io::Result<()> {
    put(at, name, |name| symlinkat(target, at, name))
}

/// A file that is being written and has no name yet.
pub(super) fn fresh(at: &OwnedFd, executable: bool) -> io::Result<File> {
    let mode = if executable {
        Mode::RWXU
    } else {
        Mode::RUSR | Mode::WUSR
    };
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(openat(at, c".", flags, mode)?.into())
}

/// Gives the file its name.
pub(super) fn finish(at: &OwnedFd, name: &CStr, file: &File, times: &Timestamps) -> io::Result<()> {
    futimens(file, times)?;
    let own = own_path(file.as_fd());
    put(at, name, |name| {
        linkat(CWD, &own, at, name, AtFlags::SYMLINK_FOLLOW)
    })
}

/// Makes something, in the place of what was there.
fn put(at: &OwnedFd, name: &CStr, make: impl Fn(&CStr) -> Result<(), Errno>) -> io::Result<()> {
    match make(name) {
        Err(Errno::EXIST) => {}
        other => return Ok(other?),
    }
    remove(at, FRESH)?;
    make(FRESH)?;
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
