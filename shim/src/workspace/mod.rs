//! The workspace: a directory of the owner's, opened with the owner's rights, judged by what was
//! opened, and pinned as a mount that maps one uid and one gid.
//!
//! Nothing here looks a user's path up as root, and nothing looks it up twice: after
//! `open` there is only the open directory.

pub(crate) mod judge;
mod open;
mod own;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use forage_api::ident::quoted;
use forage_api::{ErrorKind, Failure, places};
use rustix::mount::MountAttrFlags;

use crate::admission::Admitted;
use crate::fail::reason;
use crate::sys::mount::Detached;
use crate::sys::userns::{IdRange, with_map};

/// Opens, judges and pins the workspace of a sandbox; makes its own first if it was given no
/// repository. It must be called in the host's mount namespace. A readable `cancel` ends the wait
/// for a directory that does not answer.
///
/// # Errors
/// The owner cannot open the directory, or it cannot be a workspace. Nothing was changed then.
pub fn pin(sandbox: &Admitted, cancel: BorrowedFd<'_>) -> Result<Detached, Failure> {
    if let Some(path) = &sandbox.record.repository {
        return pinned(sandbox, path, None, cancel);
    }
    let path = places::workspace(sandbox.id());
    let made = own::make(Path::new(places::WORKSPACES), sandbox.id(), &sandbox.owner)?;
    pinned(sandbox, &path, Some(&path), cancel).inspect_err(|_| {
        if made {
            // Only an empty directory can be removed like this.
            std::fs::remove_dir(&path).ok();
        }
    })
}

fn pinned(
    sandbox: &Admitted,
    path: &Path,
    own: Option<&Path>,
    cancel: BorrowedFd<'_>,
) -> Result<Detached, Failure> {
    let shown = quoted(&path.to_string_lossy());
    let invalid = |message: String| Failure::new(ErrorKind::InvalidRepository, message);
    if !path.is_absolute() {
        return Err(invalid(format!("{shown} is not an absolute path"))
            .hint("name the directory from the root on"));
    }
    let directory = open::open_as(&sandbox.owner, path, cancel)
        .map_err(|error| open::refusal(&shown, &error))?;
    let facts = judge::Facts::of(directory.as_fd()).map_err(|error| {
        invalid(format!("{shown} cannot be a workspace: {}", reason(&error)))
            .hint("use a directory on a disk of the host")
    })?;
    judge::judge(&facts, &sandbox.owner, &shown, own)?;
    let tree = Detached::clone_of(directory.as_fd()).map_err(|error| {
        invalid(format!(
            "{shown} cannot be mounted in a sandbox: {}",
            reason(&error)
        ))
        .hint("use a directory that is mounted on the host itself")
    })?;
    let one = |from, to| IdRange { from, to, count: 1 };
    let ids = with_map(
        one(sandbox.owner.uid, sandbox.agent_uid()),
        one(facts.gid, sandbox.agent_gid()),
    )
    .map_err(|error| crate::fail::start("make the workspace's id map", error))?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    tree.restrict(flags, Some(ids.as_fd())).map_err(|error| {
        invalid(format!(
            "{shown} lies on a file system ({}) that does not support id-mapped mounts: {}",
            facts.kind,
            reason(&error)
        ))
        .hint("move it to a file system that does, such as ext4, btrfs, xfs or tmpfs")
    })?;
    Ok(tree)
}
