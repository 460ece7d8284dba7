//! `forage-shim remove`: removes for good what root owns of a stopped sandbox. The record itself is
//! the daemon's to delete, afterwards. Success leaves nothing, not even a report: the job's end says
//! it.

mod tree;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::record::{Phase, SandboxRecord};
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure, names, places};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::accounts::{self, DaemonUser};
use crate::cleanup::remove_leftovers;
use crate::fail::cannot;
use crate::sys::fds::close_all_but;
use crate::sys::privileges::become_user;
use crate::sys::process::{Fork, die_with_parent, exit, fork};
use crate::{log, network, record, report, slot};

/// Removes, and reports a refusal, which is no failure of the unit. The result is the process's exit
/// status.
pub fn remove(id: SandboxId) -> u8 {
    let daemon = match accounts::daemon() {
        Ok(daemon) => daemon,
        Err(failure) => {
            tracing::error!("cannot report: {failure}");
            return 1;
        }
    };
    let Err(failure) = removed(id, daemon) else {
        return 0;
    };
    tracing::warn!(FORAGE_EVENT = "not-removed", "not removed: {failure}");
    if record::is_missing(id) {
        // Nobody waits for a report about it, and nothing would ever remove that.
        return 1;
    }
    match report::publish(id, Outcome::NotRemoved(failure), daemon.gid) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("cannot report: {error}");
            1
        }
    }
}

fn removed(id: SandboxId, daemon: DaemonUser) -> Result<(), Failure> {
    let record = record::read(id, daemon.uid)?;
    // A creation that was cut short is taken back without another intent: the disk may be full.
    if record.phase == Phase::Created {
        return Err(Failure::new(
            ErrorKind::Busy,
            "the sandbox's record does not ask for its removal",
        ));
    }
    // Held until the end, so that nothing starts meanwhile.
    let slot = slot::take(record.slot).map_err(|failure| match failure.kind {
        ErrorKind::Busy => Failure::new(ErrorKind::SandboxRunning, "the sandbox still runs")
            .hint("stop it first: forage-ctl stop"),
        _ => failure,
    })?;
    // The host's network is not in this process's reach.
    if network::removal::is_left(id) {
        return Err(Failure::new(
            ErrorKind::StorageFailed,
            "what the sandbox's network made on the host could not be removed when it stopped",
        )
        .hint(format!(
            "see why: journalctl -u {unit}; then start and stop it, which tries again: forage-ctl start {name}, forage-ctl stop {name}",
            unit = names::sandbox_unit(id),
            name = record.name
        )));
    }
    if let Some(failure) = remove_leftovers(id).into_iter().next() {
        return Err(Failure::new(ErrorKind::StorageFailed, failure)
            .hint("starting and stopping the sandbox clears up more thoroughly; then try again"));
    }
    if record.repository.is_none() {
        remove_workspace(Path::new(places::WORKSPACES), &record)?;
    }
    log::remove(id)
        .map_err(|error| cannot(ErrorKind::StorageFailed, "remove the sandbox's log", error))?;
    report::forget(id)
        .and_then(|()| slot.discard())
        .map_err(|error| {
            cannot(
                ErrorKind::StorageFailed,
                "remove what the last run left",
                error,
            )
        })
}

fn remove_workspace(parent: &Path, record: &SandboxRecord) -> Result<(), Failure> {
    let name = record.id.to_string();
    let path = parent.join(&name);
    let failed = |error: Errno| {
        cannot(
            ErrorKind::StorageFailed,
            format_args!("remove the workspace {}", path.display()),
            error,
        )
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = match openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(failed)?,
    };
    // Only an empty directory can be removed like this, whatever is in it by now.
    let remove = || match unlinkat(&parent, name.as_str(), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY) => Ok(false),
        Err(error) => Err(failed(error)),
    };
    if remove()? {
        return Ok(());
    }
    if !record.delete_workspace {
        return Err(Failure::new(
            ErrorKind::WorkspaceNotEmpty,
            format!("the sandbox's workspace holds files: {}", path.display()),
        )
        .hint(format!(
            "move them away, or delete them too: forage-ctl down {} --delete-workspace",
            record.name
        )));
    }
    let directory = openat(&parent, name.as_str(), flags, Mode::empty()).map_err(failed)?;
    empty_as_owner(File::from(directory), record.owner).map_err(|error| {
        cannot(
            ErrorKind::StorageFailed,
            "delete the workspace's files",
            error,
        )
    })?;
    if remove()? {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::WorkspaceNotEmpty,
        format!(
            "the owner may not delete everything in the workspace {}",
            path.display()
        ),
    )
    .hint("something in it belongs to another user or is mounted there; remove that as root"))
}

/// Empties a directory with its owner's rights, so that nothing is deleted that the owner could not
/// delete, however the tree is made.
fn empty_as_owner(directory: File, owner: u32) -> std::io::Result<()> {
    let gid = directory.metadata()?.gid();
    match fork()? {
        Fork::Child => {
            let emptied = close_all_but(&[directory.as_fd()])
                .and_then(|()| become_user(owner, gid, &[]))
                .and_then(|()| die_with_parent())
                .and_then(|()| tree::empty(directory.as_fd()));
            exit(i32::from(emptied.is_err()))
        }
        // What is left shows when the directory itself is removed.
        Fork::Parent(child) => child.wait().map(|_| ()),
    }
}
