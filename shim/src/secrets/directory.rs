//! A sandbox's secrets directory. It is flat and root's; what the sandbox sees of it is the
//! directory, bound read-only, so a file that is replaced is seen at once.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use forage_api::Secret;
use forage_api::ident::SandboxId;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, openat,
    renameat, statat, unlinkat,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::source::MAX_BYTES;
use crate::sys::files::{TMPFS, file_system};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory of one sandbox, held open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
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
        Ok(Self { fd, uid, gid })
    }

    /// Writes a value. Readers see the old file or the new one, never a part.
    ///
    /// # Errors
    /// What the system says; the old value stays.
    pub fn write(&self, name: &str, value: &Secret) -> io::Result<()> {
        let fresh = format!(".{name}.new");
        self.unlink(&fresh)?;
        let written = self
            .write_new(&fresh, value)
            .and_then(|()| Ok(renameat(&self.fd, fresh.as_str(), &self.fd, name)?));
        if written.is_err() {
            self.unlink(&fresh).ok();
        }
        written
    }

    fn write_new(&self, name: &str, value: &Secret) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::from_raw_mode(0o400))?;
        // Whose it is comes before what it holds.
        let owner = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fchown(&file, Some(owner.0), Some(owner.1))?;
        fchmod(&file, Mode::from_raw_mode(0o400))?;
        File::from(file).write_all(value.expose())
    }

    /// Removes a value. `Ok(false)`: there was none.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        self.unlink(name)
    }

    /// Tells whether there may be a value: only a sure no is one.
    pub fn has(&self, name: &str) -> bool {
        !matches!(
            statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(Errno::NOENT)
        )
    }

    /// Tells whether exactly this value is there.
    pub fn holds(&self, name: &str, value: &Secret) -> bool {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = openat(&self.fd, name, flags, Mode::empty()) else {
            return false;
        };
        let mut found = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        let most = MAX_BYTES as u64 + 1;
        let read = File::from(file).take(most).read_to_end(&mut found);
        read.is_ok() && found.as_slice() == value.expose()
    }

    fn unlink(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
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

/// Removes the files of a flat directory.
fn clear(directory: &OwnedFd) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let dot = [c".", c".."].contains(&entry.file_name());
        if !dot && entry.file_type() != FileType::Directory {
            unlinkat(directory, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}
