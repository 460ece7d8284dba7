//! Noticing that the host changed networks: other resolvers, other routes, forwarding turned on or off,
//! another firewall's rules.
//! What changed is not looked at here; everything is looked at anew a moment later, once for many
//! events.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
};

use crate::sys::time::Deadline;

/// How long events are gathered.
const MOMENT: Duration = Duration::from_millis(100);
/// How long changes of rules are gathered: some hosts change theirs all the time, and a firewall that
/// begins anew does it in many steps.
const WHILE: Duration = Duration::from_secs(1);
/// The most links that are followed from a source to the file.
const MAX_LINKS: usize = 8;

const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ONLYDIR);

/// Routes of both families, and the settings of interfaces of both (forwarding is one).
const ROUTES: u32 = 1 << 6 | 1 << 10 | 1 << 23 | 1 << 24;
/// Rules of nftables.
const RULES: u32 = 1 << 6;

/// Watches the host's networks.
#[derive(Debug)]
pub struct Watch {
    files: Option<Files>,
    routes: OwnedFd,
    rules: OwnedFd,
    due: Option<Deadline>,
}

/// Watches the places where resolvers are named.
#[derive(Debug)]
struct Files {
    inotify: OwnedFd,
    names: Vec<OsString>,
}

impl Watch {
    /// Begins to watch the sources of resolvers, and the rest.
    ///
    /// # Errors
    /// The system has no room for it.
    pub fn begin(sources: &[&str]) -> io::Result<Self> {
        Ok(Self {
            files: Some(Files::watch(sources)?),
            routes: listen(None, ROUTES)?,
            rules: listen(Some(netlink::NETFILTER), RULES)?,
            due: None,
        })
    }

    /// What becomes readable when something changes.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let files = self.files.iter().map(|files| files.inotify.as_fd());
        let sockets = [&self.routes, &self.rules].into_iter();
        files.chain(sockets.map(AsFd::as_fd))
    }

    /// When everything is to be looked at anew.
    pub fn due(&self) -> Option<Deadline> {
        self.due
    }

    /// Takes note of what happened.
    pub fn hear(&mut self) {
        let files = self.files.as_ref().is_some_and(Files::changed);
        let routes = drain(&self.routes);
        let rules = drain(&self.rules);
        let soon = (files || routes).then(|| Deadline::after(MOMENT));
        let later = rules.then(|| Deadline::after(WHILE));
        self.due = [self.due, soon, later].into_iter().flatten().min();
    }

    /// Begins anew, before everything is looked at: what the sources are links to may have changed.
    ///
    /// # Errors
    /// The system has no room for it.
    pub fn renew(&mut self, sources: &[&str]) -> io::Result<()> {
        self.due = None;
        // The host has few of these to give: the old one goes first.
        self.files = None;
        self.files = Some(Files::watch(sources)?);
        Ok(())
    }
}

impl Files {
    fn watch(sources: &[&str]) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut names = Vec::new();
        for source in sources {
            let mut path = PathBuf::from(source);
            for _ in 0..MAX_LINKS {
                names.extend(watch_parent(&inotify, &path));
                match fs::read_link(&path) {
                    Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
                    Err(_) => break,
                }
            }
        }
        Ok(Self { inotify, names })
    }

    /// Whether something happened to a name that matters.
    fn changed(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut changed = false;
        while let Ok(event) = reader.next() {
            let name = OsStr::from_bytes(event.file_name().unwrap_or_default().to_bytes());
            let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED;
            changed |= event.events().intersects(lost) || self.names.iter().any(|n| n == name);
        }
        changed
    }
}

/// Watches the directory a name is in, or the nearest there is above it, and gives the name to wait
/// for there.
fn watch_parent(inotify: &OwnedFd, path: &Path) -> Option<OsString> {
    path.ancestors().find_map(|path| {
        let (parent, name) = (path.parent()?, path.file_name()?);
        inotify::add_watch(inotify, parent, EVENTS).ok()?;
        Some(name.to_owned())
    })
}

fn listen(protocol: Option<Protocol>, groups: u32) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        protocol,
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Whether there was anything to read. What was lost for want of room counts.
fn drain(socket: &OwnedFd) -> bool {
    let mut any = false;
    let mut buffer = [0; 8192];
    loop {
        match recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok(_) | Err(rustix::io::Errno::NOBUFS) => any = true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn changed(watch: &Watch) -> bool {
        watch.files.as_ref().unwrap().changed()
    }

    #[test]
    fn a_source_that_comes_changes_and_moves() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let source = top.join("run/resolve/resolv.conf");
        let sources = [source.to_str().unwrap()];
        let mut watch = Watch::begin(&sources).unwrap();
        assert!(watch.fds().count() == 3 && watch.due().is_none());
        fs::write(top.join("other"), "").unwrap();
        assert!(!changed(&watch));
        // Its directory, one after the other, then the file.
        fs::create_dir(top.join("run")).unwrap();
        assert!(changed(&watch));
        watch.renew(&sources).unwrap();
        fs::create_dir(top.join("run/resolve")).unwrap();
        assert!(changed(&watch));
        watch.renew(&sources).unwrap();
        fs::write(&source, "nameserver 192.0.2.1").unwrap();
        assert!(changed(&watch));
        // A link to elsewhere: the file there counts, and the link itself.
        fs::write(top.join("real"), "").unwrap();
        symlink("../../real", top.join("fresh")).unwrap();
        fs::rename(top.join("fresh"), &source).unwrap();
        assert!(changed(&watch));
        watch.renew(&sources).unwrap();
        fs::write(top.join("real"), "nameserver 192.0.2.2").unwrap();
        assert!(changed(&watch));
        fs::remove_dir_all(top.join("run")).unwrap();
        assert!(changed(&watch));
    }

    #[test]
    fn routes_and_rules_are_listened_to() {
        assert!(!drain(&listen(None, ROUTES).unwrap()));
        assert!(!drain(&listen(Some(netlink::NETFILTER), RULES).unwrap()));
    }
}
