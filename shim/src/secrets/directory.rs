//! A sandbox's secrets directory, which is root's, with no more than one level of directories in it.
//! What the sandbox sees of it is the directory, bound read-only, so a file that is replaced is seen
//! at once.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use forage_api::Secret;
use forage_api::ident::SandboxId;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::sys::files::{TMPFS, file_system};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory of one sandbox, held open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// The directories in it, by name.
    inner: BTreeMap<String, OwnedFd>,
    uid: u32,
    gid: u32,
}

impl Directory {
    /// Makes a sandbox's directory below `parent`, empty; its files will belong to the given ids.
    ///
    /// # Errors
    /// What the system says; `Unsupported` where the parent is not memory of root's alone.
    pub fn make(parent: &Path, id: SandboxId, uid: u32, gid: u32) -> io::Result<Self> {
        let parent = open_parent(parent)?;
        let name = id.to_string();
        match mkdirat(&parent, name.as_str(), Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => clear(&openat(&parent, name.as_str(), DIRECTORY, Mode::empty())?)?,
            Err(error) => return Err(error.into()),
        }
        let fd = openat(&parent, name.as_str(), DIRECTORY, Mode::empty())?;
        // The agent passes through it; on the host the parent keeps everyone out.
        fchmod(&fd, Mode::from_raw_mode(0o755))?;
        let inner = BTreeMap::new();
        Ok(Self {
            fd,
            inner,
            uid,
            gid,
        })
    }

    /// Makes what is missing of the directory a file lies in.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_place(&mut self, file: &str) -> io::Result<()> {
        let Some((name, _)) = file.split_once('/') else {
            return Ok(());
        };
        if !self.inner.contains_key(name) {
            mkdirat(&self.fd, name, Mode::from_raw_mode(0o755))?;
            let inner = openat(&self.fd, name, DIRECTORY, Mode::empty())?;
            fchmod(&inner, Mode::from_raw_mode(0o755))?;
            self.inner.insert(name.to_owned(), inner);
        }
        Ok(())
    }

    /// The directory a file lies in, and its name there.
    fn place<'a>(&self, file: &'a str) -> io::Result<(&OwnedFd, &'a str)> {
        match file.split_once('/') {
            None => Ok((&self.fd, file)),
            Some((directory, name)) => {
                let inner = self.inner.get(directory).ok_or(io::ErrorKind::NotFound)?;
                Ok((inner, name))
            }
        }
    }

    /// Writes a value. Readers see the old file or the new one, never a part.
    ///
    /// # Errors
    /// What the system says; the old value stays.
    pub fn write(&self, file: &str, value: &Secret) -> io::Result<()> {
        let (directory, name) = self.place(file)?;
        let fresh = fresh(name);
        unlink(directory, &fresh)?;
        let written = self
            .write_new(directory, &fresh, value)
            .and_then(|()| Ok(renameat(directory, fresh.as_str(), directory, name)?));
        if written.is_err() {
            unlink(directory, &fresh).ok();
        }
        written
    }

    fn write_new(&self, directory: &OwnedFd, name: &str, value: &Secret) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, name, flags, Mode::from_raw_mode(0o400))?;
        // Whose it is comes before what it holds.
        let owner = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fchown(&file, Some(owner.0), Some(owner.1))?;
        fchmod(&file, Mode::from_raw_mode(0o400))?;
        File::from(file).write_all(value.expose())
    }

    /// Removes a value, and what a write of it that failed may have left. `Ok(false)`: there was none.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, file: &str) -> io::Result<bool> {
        let (directory, name) = self.place(file)?;
        let removed = unlink(directory, name)?;
        unlink(directory, &fresh(name))?;
        Ok(removed)
    }

    /// Tells whether there may be a value: only a sure no is one.
    pub fn has(&self, file: &str) -> bool {
        let Ok((directory, name)) = self.place(file) else {
            return false;
        };
        let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        !matches!(found, Err(Errno::NOENT))
    }

    /// Tells whether exactly this value is there.
    pub fn holds(&self, file: &str, value: &Secret) -> bool {
        let Ok((directory, name)) = self.place(file) else {
            return false;
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = openat(directory, name, flags, Mode::empty()) else {
            return false;
        };
        let found = Secret::read(File::from(file), value.expose().len() + 1);
        found.is_ok_and(|found| found.expose() == value.expose())
    }
}

/// The name under which a file is written before it takes its own.
fn fresh(name: &str) -> String {
    format!(".{name}.new")
}

fn unlink(directory: &OwnedFd, name: &str) -> io::Result<bool> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open_parent(path: &Path) -> io::Result<OwnedFd> {
    let parent = openat(CWD, path, DIRECTORY, Mode::empty())?;
    let stat = fstat(&parent)?;
    let in_memory = file_system(parent.as_fd())? == TMPFS;
    if !in_memory || stat.st_uid != 0 || stat.st_mode & 0o066 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is not a tmpfs that only root can list and write",
        ));
    }
    Ok(parent)
}

/// Removes a sandbox's secrets; that there are none is no error.
///
/// # Errors
/// What the system says.
pub fn remove(parent: &Path, id: SandboxId) -> io::Result<()> {
    let name = id.to_string();
    let opened = openat(CWD, parent, DIRECTORY, Mode::empty()).and_then(|parent| {
        let directory = openat(&parent, name.as_str(), DIRECTORY, Mode::empty())?;
        Ok((parent, directory))
    });
    let (parent, directory) = match opened {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    clear(&directory)?;
    Ok(unlinkat(parent.as_fd(), name.as_str(), AtFlags::REMOVEDIR)?)
}

/// Removes what is in a directory: files, and directories of files.
fn clear(directory: &OwnedFd) -> io::Result<()> {
    each(directory, |name, kind| {
        if kind != FileType::Directory {
            return unlinkat(directory, name, AtFlags::empty());
        }
        let inner = openat(directory, name, DIRECTORY, Mode::empty())?;
        each(&inner, |name, _| unlinkat(&inner, name, AtFlags::empty()))?;
        unlinkat(directory, name, AtFlags::REMOVEDIR)
    })?;
    Ok(())
}

fn each(
    directory: &OwnedFd,
    act: impl Fn(&CStr, FileType) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            act(entry.file_name(), entry.file_type())?;
        }
    }
    Ok(())
}
