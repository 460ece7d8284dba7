//! User namespaces that exist only to carry an id map.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::process::{Child, Fork, die_with_parent, exit, fork};

/// One line of an id map: what `inside` is on disk, what it is seen as, and how many ids follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first id as it is stored.
    pub from: u32,
    /// The first id as the host sees it through the map.
    pub to: u32,
    /// How many.
    pub count: u32,
}

/// Makes a user namespace with one range of uids and one of gids.
///
/// # Errors
/// What the system says.
pub fn with_map(uids: IdRange, gids: IdRange) -> io::Result<OwnedFd> {
    let (made, tell_made) = pipe_with(PipeFlags::CLOEXEC)?;
    let (done, tell_done) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork()? {
        Fork::Child => {
            drop((made, tell_done));
            exit(i32::from(wait_in_namespace(tell_made, done).is_err()))
        }
        Fork::Parent(child) => {
            drop((tell_made, done));
            let namespace = map(&child, made, uids, gids);
            drop(tell_done);
            child.wait()?;
            namespace
        }
    }
}

fn map(child: &Child, made: OwnedFd, uids: IdRange, gids: IdRange) -> io::Result<OwnedFd> {
    let mut byte = [0];
    fs::File::from(made).read_exact(&mut byte)?;
    let proc = format!("/proc/{}", child.pid());
    for (file, range) in [("uid_map", uids), ("gid_map", gids)] {
        let line = format!("{} {} {}\n", range.from, range.to, range.count);
        fs::write(format!("{proc}/{file}"), line)?;
    }
    Ok(fs::File::open(format!("{proc}/ns/user"))?.into())
}

#[expect(
    unsafe_code,
    reason = "unshare is unsafe for what it can do to descriptors"
)]
fn wait_in_namespace(tell_made: OwnedFd, done: OwnedFd) -> io::Result<()> {
    super::fds::close_all_but(&[tell_made.as_fd(), done.as_fd()])?;
    // SAFETY: a new user namespace does not touch the table of descriptors.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER)? };
    die_with_parent()?;
    fs::File::from(tell_made).write_all(&[0])?;
    fs::File::from(done).read_to_end(&mut Vec::new())?;
    Ok(())
}
