//! The process that has the owner's rights and no others, for good. It alone reads the owner's
//! directory and writes the copy; what it says of it is all the shim learns.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use forage_api::shim::frame;
use rustix::fs::{Mode, OFlags, openat};

use super::follow::{Watches, follow};
use super::tree::Tree;
use super::words::{Copied, Said};
use crate::accounts::Account;
use crate::sys::fds::close_all_but;
use crate::sys::privileges::{become_user, empty_bounding_set};
use crate::sys::process::die_with_parent;
use crate::walk::{Lost, walk};
use crate::workspace::judge::{Facts, misplaced};

/// What is to be copied.
pub(super) struct Plan<'a> {
    pub(super) owner: &'a Account,
    pub(super) path: PathBuf,
    /// Whether the path comes from the owner's home, where the owner can make it lead anywhere.
    pub(super) from_home: bool,
    pub(super) most: u64,
    pub(super) follow: bool,
}

/// Runs in the child.
pub(super) fn run(plan: &Plan<'_>, socket: BorrowedFd<'_>) -> io::Result<()> {
    close_all_but(&[socket])?;
    empty_bounding_set()?;
    become_user(plan.owner.uid, plan.owner.gid, &plan.owner.groups)?;
    die_with_parent()?;
    let say = |said: &Said| frame::send(socket, said, &[], &[]);
    let from = match open(plan) {
        Ok(from) => from,
        Err(said) => return say(&said),
    };
    let mut tree = Tree::at(&from, plan.most)?;
    if let Err(stop) = tree.directory(&from, None, Path::new("")) {
        return say(&Said::Stopped(stop));
    }
    say(&Said::Ready)?;
    let told = frame::receive(socket, &mut frame::Decoder::default())?;
    let Some(to) = told.and_then(|mut frame| frame.fds.pop()) else {
        return Ok(());
    };
    // As a place it came; what is written to must be open.
    let to = openat(
        &to,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    copy(plan, &from, &to, socket)
}

fn copy(plan: &Plan<'_>, from: &OwnedFd, to: &OwnedFd, socket: BorrowedFd<'_>) -> io::Result<()> {
    let say = |said: &Said| frame::send(socket, said, &[], &[]);
    let mut tree = Tree::at(from, plan.most)?;
    if plan.follow {
        tree.watches = Watches::new().ok();
    }
    if let Err(stop) = tree.directory(from, Some(to), Path::new("")) {
        return say(&Said::Stopped(stop));
    }
    say(&Said::Copied(Copied {
        entries: tree.used.entries,
        bytes: tree.used.bytes,
        skipped: tree.skipped,
        followed: tree
            .watches
            .as_ref()
            .is_some_and(|watches| !watches.incomplete),
    }))?;
    follow(&mut tree, (from, to), socket, |stop| {
        say(&Said::Stopped(stop.clone()))
    })
}

/// Opens the directory as the owner.
fn open(plan: &Plan<'_>) -> Result<OwnedFd, Said> {
    let unusable = |(why, hint): (String, &str)| Said::Unusable(why, hint.to_owned());
    let broken = |error: io::Error| {
        unusable((
            crate::fail::reason(&error),
            "use a directory on a disk of the host",
        ))
    };
    let place = match walk(&plan.path, &mut |_, _| Ok(())).end {
        Ok(place) => place,
        Err(Lost::Missing) => return Err(Said::Missing),
        Err(lost) => return Err(Said::Lost(lost)),
    };
    let facts = Facts::of(place.as_fd()).map_err(broken)?;
    if let Some(wrong) = misplaced(&facts) {
        return Err(unusable(wrong));
    }
    let shared = facts.uid == 0 && !plan.from_home;
    if facts.uid != plan.owner.uid && !shared {
        let why = format!("it belongs to another user (uid {})", facts.uid);
        return Err(unusable((why, "use a directory of the sandbox's owner")));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&place, c".", flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::ACCESS => unusable((
            "the sandbox's owner may not read it".to_owned(),
            "use a directory the owner can read",
        )),
        error => broken(error.into()),
    })
}
