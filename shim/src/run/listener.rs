//! The socket the daemon talks to a shim on.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use forage_api::ident::SandboxId;
use forage_api::{Failure, places};
use rustix::net::sockopt::socket_peercred;

use crate::accounts::DaemonUser;
use crate::report::remove_if_there;

/// The socket; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    daemon: DaemonUser,
}

impl Listener {
    /// Makes the socket. It appears under its name when it can be connected to.
    pub(super) fn open(id: SandboxId, daemon: DaemonUser) -> Result<Self, Failure> {
        let path = places::shim_socket(id);
        Self::open_at(path, daemon)
            .map_err(|error| crate::fail::start("make the socket for the daemon", error))
    }

    fn open_at(path: PathBuf, daemon: DaemonUser) -> io::Result<Self> {
        let fresh = fresh(&path);
        remove_if_there(&fresh)?;
        let socket = UnixListener::bind(&fresh)?;
        socket.set_nonblocking(true)?;
        chown(&fresh, Some(0), Some(daemon.gid))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o660))?;
        fs::rename(&fresh, &path)?;
        Ok(Self {
            socket,
            path,
            daemon,
        })
    }

    /// Takes the next connection of the daemon's; `None` when there is none.
    pub(super) fn accept(&self) -> Option<UnixStream> {
        loop {
            let (stream, _) = self.socket.accept().ok()?;
            match socket_peercred(&stream) {
                Ok(peer) if [0, self.daemon.uid].contains(&peer.uid.as_raw()) => {
                    stream.set_nonblocking(true).ok()?;
                    return Some(stream);
                }
                _ => tracing::warn!(
                    FORAGE_EVENT = "stranger",
                    "somebody who is not the daemon connected; hung up"
                ),
            }
        }
    }
}

/// The name the socket has until it can be connected to.
pub fn fresh(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The daemon sees that nobody listens any more; cleanup removes what is left.
        fs::remove_file(&self.path).ok();
    }
}
