//! The root of a template with `system`: empty but for what an init needs to begin, and the Nix store
//! of the host, read-only. The init makes the rest: `/etc`, `/bin/sh` and so on are links into the
//! store.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use forage_api::{ErrorKind, Failure};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use super::{Places, SAFE, gc_root, private_dir, shifted_ids, store_path};
use crate::admission::Admitted;
use crate::fail::{cannot, reason};
use crate::sys::mount::Detached;

/// The Nix store, on the host and in the sandbox.
pub(super) const STORE: &str = "/nix/store";

/// What there is at first, and its modes. Without `/usr` systemd-nspawn takes it for no system.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("nix", 0o755),
    ("nix/store", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
];

/// Opens the store and checks that the system is in it. From here on Nix does not collect the system.
pub(super) fn open(sandbox: &Admitted, system: &Path) -> Result<Detached, Failure> {
    if let Err(error) = gc_root::register(sandbox.id(), system) {
        tracing::warn!(
            FORAGE_EVENT = "not-kept",
            "nix-collect-garbage may remove the system while it runs: cannot make a root for it: {}",
            reason(&error)
        );
    }
    store_path::check(sandbox, system)?;
    let unusable = |error: io::Error| {
        let what = format_args!(
            "mount the store of the template's system {}",
            system.display()
        );
        cannot(ErrorKind::InvalidConfig, what, error)
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let store = rustix::fs::open(STORE, flags, Mode::empty());
    let store = store.map_err(|error| unusable(error.into()))?;
    let clone = Detached::clone_of(store.as_fd()).map_err(unusable)?;
    // What Nix has finished is root's. What belongs to others, such as a build that runs, is nobody's in
    // the sandbox, so that its root has no rights over it.
    let ids = shifted_ids(sandbox, 1)?;
    let flags = SAFE | MountAttrFlags::MOUNT_ATTR_RDONLY;
    match clone.restrict(flags, Some(ids.as_fd())) {
        // A file system that cannot be id-mapped, or is so already: its files are nobody's, which
        // does for reading.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => {
            tracing::info!(
                FORAGE_EVENT = "not-mapped",
                "the store's files show as nobody's"
            );
            clone.restrict(flags, None).map_err(unusable)?;
        }
        other => other.map_err(unusable)?,
    }
    Ok(clone)
}

/// Makes the root.
pub(super) fn furnish(sandbox: &Admitted, places: &Places, store: &Detached) -> io::Result<()> {
    let root = places.root();
    let give = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        chown(path, Some(sandbox.base()), Some(sandbox.base()))
    };
    private_dir(&root)?;
    give(&root, 0o755)?;
    for (name, mode) in DIRECTORIES {
        let path = root.join(name);
        private_dir(&path)?;
        give(&path, *mode)?;
    }
    // Empty: an id is to be made. Missing, it would mean a first boot, with its presets of units.
    let machine_id = root.join("etc/machine-id");
    fs::File::create_new(&machine_id)?;
    give(&machine_id, 0o644)?;
    store.attach(&root.join("nix/store"))
}
