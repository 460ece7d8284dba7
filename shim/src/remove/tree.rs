//! Emptying a directory of any shape with a fixed number of descriptors and no recursion: what lies
//! deeper is first moved to the top. No link is followed and no mount is entered.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, StatxFlags, openat, renameat_with, statx, unlinkat,
};
use rustix::io::Errno;

use crate::sys::files::change_mode;

/// Deletes all that can be deleted; what cannot stays.
pub(super) fn empty(top: BorrowedFd<'_>) -> io::Result<()> {
    let mut moved = 0;
    loop {
        let mut progress = false;
        for name in names(top)? {
            progress |= delete(top, &name, top, &mut moved);
        }
        if !progress {
            return Ok(());
        }
    }
}

/// Deletes an entry, or at least something of it; tells whether anything changed.
fn delete(parent: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> bool {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return true,
        Err(Errno::ISDIR) => {}
        Err(_) => return false,
    }
    if unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok() {
        return true;
    }
    let Ok(directory) = open(parent, name) else {
        return false;
    };
    let mut progress = false;
    for inner in names(directory.as_fd()).unwrap_or_default() {
        progress |= lift(directory.as_fd(), &inner, top, moved);
    }
    progress | unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok()
}

/// Deletes an entry that is easy to delete; moves any other to the top.
fn lift(parent: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> bool {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return true,
        Err(Errno::ISDIR) => {}
        Err(_) => return false,
    }
    if unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok() {
        return true;
    }
    // Moving a directory takes the right to write to it.
    if open(parent, name).is_err() {
        return false;
    }
    for _ in 0..1000 {
        *moved += 1;
        let fresh = format!(".removing-{moved}");
        match renameat_with(parent, name, top, fresh.as_str(), RenameFlags::NOREPLACE) {
            Ok(()) => return true,
            Err(Errno::EXIST) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Opens a directory to delete from, giving its owner the rights for that first. A name is one
/// component, so with links refused nothing leads out of `parent` but a mount.
fn open(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    if mount(place.as_fd())? != mount(parent)? {
        return Err(Errno::XDEV.into());
    }
    // That it is not the owner's shows at the next step.
    change_mode(place.as_fd(), 0o700).ok();
    Ok(openat(&place, c".", flags | OFlags::RDONLY, Mode::empty())?)
}

/// The mount a directory lies on. Two mounts of one file system differ in it.
fn mount(directory: BorrowedFd<'_>) -> io::Result<u64> {
    let wanted = StatxFlags::MNT_ID;
    let found = statx(directory, c"", AtFlags::EMPTY_PATH, wanted)?;
    if StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) {
        Ok(found.stx_mnt_id)
    } else {
        Err(Errno::NOSYS.into())
    }
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn trees_of_any_shape_are_emptied_and_links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "x").unwrap();
        let tree = tempfile::tempdir().unwrap();
        let top = tree.path();
        symlink(outside.path(), top.join("link")).unwrap();
        symlink("/", top.join("root")).unwrap();
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        symlink(outside.path(), top.join("a/b/c/link")).unwrap();
        fs::write(top.join("a/b/file"), "x").unwrap();
        fs::create_dir(top.join(".removing-1")).unwrap();
        fs::write(top.join(".removing-1/file"), "x").unwrap();
        fs::create_dir_all(top.join("locked/inner")).unwrap();
        fs::write(top.join("locked/inner/file"), "x").unwrap();
        for locked in ["locked/inner", "locked"] {
            fs::set_permissions(top.join(locked), fs::Permissions::from_mode(0o0)).unwrap();
        }
        empty(File::open(top).unwrap().as_fd()).unwrap();
        assert_eq!(fs::read_dir(top).unwrap().count(), 0);
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn a_tree_deeper_than_descriptors_or_stack() {
        let tree = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut at = OwnedFd::from(File::open(tree.path()).unwrap());
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = open(at.as_fd(), c"d").unwrap();
        }
        empty(File::open(tree.path()).unwrap().as_fd()).unwrap();
        assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 0);
    }
}
