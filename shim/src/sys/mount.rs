//! Mounts that are made by descriptor, so that no path is looked up twice.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    open_tree,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A mount that is not attached anywhere yet.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// Clones the mount an open directory lies on, at that directory, without what is mounted below.
    ///
    /// # Errors
    /// What `open_tree` says; `EINVAL` for a directory of another mount namespace.
    pub fn clone_of(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        Ok(Self(open_tree(directory, c"", flags)?))
    }

    /// Makes a file system of its own from options.
    ///
    /// # Errors
    /// What the mount calls say.
    pub fn new(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> io::Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "source", "forage")?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        fsconfig_create(&context)?;
        Ok(Self(fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            flags,
        )?))
    }

    /// Sets attributes and, with a user namespace, its id map. Mounts and unmounts elsewhere no
    /// longer reach it.
    ///
    /// # Errors
    /// What `mount_setattr` says; `EINVAL` where the file system cannot be id-mapped.
    #[expect(unsafe_code, reason = "mount_setattr has no safe form")]
    pub fn restrict(&self, flags: MountAttrFlags, ids: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let map = ids.map_or(0, |_| libc::MOUNT_ATTR_IDMAP);
        let namespace = ids.map_or(0, |ids| ids.as_raw_fd());
        let attributes = libc::mount_attr {
            attr_set: u64::from(flags.bits()) | map,
            attr_clr: 0,
            propagation: libc::MS_PRIVATE,
            userns_fd: u64::try_from(namespace).unwrap_or_default(),
        };
        // SAFETY: the path is an empty string that ends in zero, and the structure is complete,
        // outlives the call and is passed with its size.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Attaches it over a directory of ours.
    ///
    /// # Errors
    /// What `move_mount` says.
    pub fn attach(&self, place: &Path) -> io::Result<()> {
        Ok(move_mount(
            &self.0,
            c"",
            CWD,
            place,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?)
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Leaves the host's mount namespace for a copy of it: what is mounted from now on is seen by this
/// process and its children alone, and is gone with them. Mounts of the host still arrive.
///
/// # Errors
/// What the system says.
#[expect(
    unsafe_code,
    reason = "unshare is unsafe for what it can do to descriptors"
)]
pub fn leave_host() -> io::Result<()> {
    // SAFETY: a new mount namespace does not touch the table of descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    Ok(mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?)
}
