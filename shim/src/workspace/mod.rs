//! The workspace: a directory of the owner's, opened with the owner's rights, judged by what was
//! opened, and pinned as a mount that maps one uid and one gid.
//!
//! Nothing here looks a user's path up as root, and nothing looks it up twice: after
//! [`open`](open::open_as) there is only the open directory.

mod judge;
mod open;
mod own;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use forage_api::ident::quoted;
use forage_api::{ErrorKind, Failure, places};
use rustix::mount::MountAttrFlags;

use crate::admission::Admitted;
use crate::fail::reason;
use crate::sys::mount::Detached;
use crate::sys::userns::{IdRange, with_map};

/// A directory that may become a sandbox's workspace.
#[derive(Debug)]
pub struct Workspace {
    directory: OwnedFd,
    gid: u32,
    shown: String,
}

/// Opens and judges the workspace of a sandbox; makes its own first if it was given no repository.
/// A readable `cancel` ends the wait for a directory that does not answer.
///
/// # Errors
/// The directory cannot be opened by the owner, or cannot be a workspace.
pub fn open(sandbox: &Admitted, cancel: BorrowedFd<'_>) -> Result<Workspace, Failure> {
    let own = places::workspace(sandbox.id());
    let (path, own) = match &sandbox.record.repository {
        Some(path) => (path.as_path(), None),
        None => {
            own::make(Path::new(places::WORKSPACES), sandbox.id(), &sandbox.owner)?;
            (own.as_path(), Some(own.as_path()))
        }
    };
    let shown = quoted(&path.to_string_lossy());
    let directory = open::open_as(&sandbox.owner, path, cancel)
        .map_err(|error| open::refusal(&shown, &error))?;
    let facts = judge::Facts::of(directory.as_fd()).map_err(|error| {
        Failure::new(
            ErrorKind::InvalidRepository,
            format!("cannot look at {shown}: {}", reason(&error)),
        )
    })?;
    judge::judge(&facts, &sandbox.owner, &shown, own)?;
    Ok(Workspace {
        directory,
        gid: facts.gid,
        shown,
    })
}

impl Workspace {
    /// Pins the directory as a detached mount with the sandbox's id map. It must be called in the
    /// host's mount namespace.
    ///
    /// # Errors
    /// Its file system cannot be cloned or id-mapped.
    pub fn pin(&self, sandbox: &Admitted) -> Result<Detached, Failure> {
        let invalid = |message: String| Failure::new(ErrorKind::InvalidRepository, message);
        let tree = Detached::clone_of(self.directory.as_fd()).map_err(|error| {
            invalid(format!(
                "{} cannot be mounted in a sandbox: {}",
                self.shown,
                reason(&error)
            ))
            .hint("use a directory that is mounted on the host itself")
        })?;
        let one = |from, to| IdRange { from, to, count: 1 };
        let ids = with_map(
            one(sandbox.owner.uid, sandbox.agent_uid()),
            one(self.gid, sandbox.agent_gid()),
        )
        .map_err(|error| crate::fail::start("make the workspace's id map", error))?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        tree.restrict(flags, ids.as_fd()).map_err(|error| {
            let kind = judge::file_system(self.directory.as_fd());
            invalid(format!(
                "{} lies on a file system ({kind}) that does not support id-mapped mounts: {}",
                self.shown,
                reason(&error)
            ))
            .hint("move it to a file system that does, such as ext4, btrfs, xfs or tmpfs")
        })?;
        Ok(tree)
    }
}
