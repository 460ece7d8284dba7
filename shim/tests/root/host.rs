//! A host of the test's own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use forage_api::config;
use forage_api::ident::{SandboxId, Slot};
use forage_api::places;
use forage_api::record::{Phase, SandboxRecord, VERSION};
use forage_shim::accounts::{Account, DaemonUser};
use forage_shim::admission::Admitted;
use forage_shim::sys::mount::{Detached, leave_host};
use forage_shim::sys::privileges::become_user;
use forage_shim::sys::process::{Fork, exit, fork};
use rustix::mount::MountAttrFlags;

/// The owner of every sandbox here; there need not be such a user.
pub(crate) const OWNER: u32 = 1000;

/// Enters a host of the test's own; `None`, said aloud, where the test cannot run.
pub(crate) fn enter() -> Option<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it needs root");
        return None;
    }
    leave_host().unwrap();
    for place in ["/run", "/var/lib", "/mnt"] {
        let memory = Detached::new("tmpfs", &[("mode", "0755")], MountAttrFlags::empty());
        memory.unwrap().attach(Path::new(place)).unwrap();
    }
    for (place, mode) in [
        (places::RUNTIME, 0o711),
        (places::STATE, 0o711),
        (places::WORKSPACES, 0o711),
        (places::PINS, 0o700),
        (places::SECRETS, 0o700),
    ] {
        fs::create_dir_all(place).unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
    }
    Some(())
}

/// A directory of the owner's.
pub(crate) fn owned(path: &str) -> PathBuf {
    let path = Path::new("/mnt").join(path);
    fs::create_dir_all(&path).unwrap();
    chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    path
}

/// A tree that passes for a distribution's.
pub(crate) fn tree() -> PathBuf {
    let tree = Path::new("/mnt/tree");
    for directory in ["sbin", "usr", "home/agent"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    fs::write(tree.join("sbin/init"), "").unwrap();
    chown(tree.join("home/agent"), Some(1000), Some(1000)).unwrap();
    tree.to_owned()
}

/// A sandbox that was admitted; `keys` are the template's.
pub(crate) fn sandbox(repository: Option<&Path>, keys: &str) -> Admitted {
    let text = format!("[templates.t]\nroot = {:?}\n{keys}", tree());
    let file = Path::new("/mnt/config.toml");
    fs::write(file, text).unwrap();
    let config = config::parse(file).unwrap();
    Admitted {
        record: SandboxRecord {
            version: VERSION,
            id: SandboxId::new(1),
            owner: OWNER,
            slot: Slot::try_from(3).unwrap(),
            name: "s1".parse().unwrap(),
            template: "t".parse().unwrap(),
            repository: repository.map(Path::to_owned),
            created_at: "2026-03-19T21:00:00Z".parse().unwrap(),
            phase: Phase::Created,
            delete_workspace: false,
            revoked_at: None,
        },
        template: config.templates[&"t".parse().unwrap()].clone(),
        secrets: BTreeMap::new(),
        config_dirs: Vec::new(),
        ranges: (config.address_range, config.address_range6),
        start_timeout: Duration::from_secs(60),
        stop_timeout: Duration::from_secs(10),
        owner: Account {
            uid: OWNER,
            gid: OWNER,
            groups: vec![OWNER],
        },
        daemon: DaemonUser { uid: 990, gid: 990 },
    }
}

/// Never readable: nobody cancels.
pub(crate) fn no_cancel() -> OwnedFd {
    let (read, write) = rustix::pipe::pipe().unwrap();
    // Kept open for the test's life: a closed end would count as an event.
    std::mem::forget(write);
    read
}

/// What an attempt gives a user without any rights but its own: `Err` is the error's number.
pub(crate) fn as_user(uid: u32, attempt: impl FnOnce() -> io::Result<()>) -> Result<(), i32> {
    match fork().unwrap() {
        Fork::Child => {
            let done = become_user(uid, uid, &[]).and_then(|()| attempt());
            let number = done.err().and_then(|error| error.raw_os_error());
            exit(number.unwrap_or(0))
        }
        Fork::Parent(child) => match child.wait().unwrap().exit_status() {
            Some(0) => Ok(()),
            number => Err(number.unwrap_or(-1)),
        },
    }
}

/// Makes a file.
pub(crate) fn make_file(path: &Path) -> io::Result<()> {
    File::create_new(path).map(drop)
}
