//! The workspace of a sandbox that was given no repository. It is the owner's and outlives runs.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::{ErrorKind, Failure};
use rustix::fs::{Mode, OFlags, fchmod, mkdirat, openat};
use rustix::io::Errno;

use crate::accounts::Account;
use crate::fail::cannot;

/// Makes the workspace unless it is there, and tells whether it was made. `parent` is root's, so no
/// name in it can be swapped.
pub(super) fn make(parent: &Path, id: SandboxId, owner: &Account) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| {
        cannot(
            ErrorKind::StorageFailed,
            format_args!("make a workspace in {}", parent.display()),
            error,
        )
    };
    if let Err(error) = fs::create_dir(parent)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(failed(error));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |at: rustix::fd::BorrowedFd<'_>, name: &Path| {
        openat(at, name, flags, Mode::empty())
            .map(File::from)
            .map_err(std::io::Error::from)
    };
    let parent = open(rustix::fs::CWD, parent).map_err(failed)?;
    // The owner must be able to pass through. A parent that is as it must be is left alone: on a file
    // system that is read-only for a time, workspaces there are can still be used.
    if parent.metadata().map_err(failed)?.mode() & 0o7777 != 0o711 {
        fchmod(&parent, Mode::from_raw_mode(0o711)).map_err(|error| failed(error.into()))?;
    }
    let name = id.to_string();
    let made = match mkdirat(&parent, name.as_str(), Mode::from_raw_mode(0o700)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(failed(error.into())),
    };
    let workspace = open(std::os::fd::AsFd::as_fd(&parent), Path::new(&name)).map_err(failed)?;
    // Still root's: new, or left by a start that was cut off here.
    if workspace.metadata().map_err(failed)?.uid() == 0 {
        fchown(&workspace, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
    }
    Ok(made)
}
