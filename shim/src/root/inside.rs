//! Directories and files made in the root as the sandbox's own root would.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chmodat, chownat, fchmod, fchown, mkdirat, open, openat,
    unlinkat,
};
use rustix::io::Errno;

use crate::admission::Admitted;
use crate::sys::files::open_in_root;

/// Makes what is missing of a path, in the agent's home as the agent's, elsewhere as root's, and opens
/// it. Links in the root are followed as they are inside.
pub(super) fn make_path(sandbox: &Admitted, root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let home = Path::new("/home").join(&sandbox.template.agent_user);
    let mut parent = open(root, flags, Mode::empty())?;
    let root = open(root, flags, Mode::empty())?;
    let mut so_far = PathBuf::from("/");
    for name in path.iter().skip(1) {
        so_far.push(name);
        parent = match open_in_root(root.as_fd(), &so_far, flags) {
            Err(Errno::NOENT) => {
                let (uid, gid) = if so_far.starts_with(&home) {
                    (sandbox.agent_uid(), sandbox.agent_gid())
                } else {
                    (sandbox.base(), sandbox.base())
                };
                make_in(&parent, name, (Uid::from_raw(uid), Gid::from_raw(gid)))?;
                open_in_root(root.as_fd(), &so_far, flags)?
            }
            other => other?,
        };
    }
    Ok(parent)
}

/// Writes a file that everybody can read, in place of one of its name.
pub(crate) fn write_file(
    directory: &OwnedFd,
    name: &str,
    owner: u32,
    text: &str,
) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
    fchmod(&file, Mode::from_raw_mode(0o644))?;
    let (uid, gid) = (Uid::from_raw(owner), Gid::from_raw(owner));
    fchown(&file, Some(uid), Some(gid))?;
    File::from(file).write_all(text.as_bytes())
}

fn make_in(parent: &OwnedFd, name: &OsStr, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    chmodat(parent, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
    Ok(chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
