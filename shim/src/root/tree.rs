//! The root of a template with `root`: the tree, read-only and shifted into the sandbox's ids, under
//! an overlay whose upper layer is the tmpfs.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use forage_api::ident::Slot;
use forage_api::{ErrorKind, Failure};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use super::{Places, SAFE, private_dir, shifted_ids};
use crate::admission::Admitted;
use crate::fail::{cannot, reason};
use crate::sys::files::open_in_root;
use crate::sys::mount::Detached;

/// The template's tree as a read-only mount whose root belongs to the sandbox's root.
pub(super) fn open(sandbox: &Admitted, root: &Path, init: &Path) -> Result<Detached, Failure> {
    let tree = find(sandbox, root, init)?;
    let unusable = |error: io::Error| {
        cannot(
            ErrorKind::InvalidConfig,
            format_args!(
                "mount the template's root {} with shifted ids",
                root.display()
            ),
            error,
        )
        .hint("it must lie on a file system that supports id-mapped mounts, such as ext4 or tmpfs")
    };
    let lower = Detached::clone_of(tree.as_fd()).map_err(unusable)?;
    let ids = shifted_ids(sandbox, Slot::SIZE)?;
    lower
        .restrict(MountAttrFlags::MOUNT_ATTR_RDONLY, Some(ids.as_fd()))
        .map_err(unusable)?;
    Ok(lower)
}

/// Opens the tree and checks that it has an init.
fn find(sandbox: &Admitted, root: &Path, init: &Path) -> Result<OwnedFd, Failure> {
    let missing = |what: &str, path: &Path, error: rustix::io::Errno| {
        let template = &sandbox.record.template;
        let why = reason(&error.into());
        Failure::new(
            ErrorKind::InvalidConfig,
            format!(
                "template {template}: its {what} {} cannot be opened: {why}",
                path.display()
            ),
        )
        .hint("build the template's tree, or correct its keys root and init")
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let tree = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|error| missing("root", root, error))?;
    open_in_root(tree.as_fd(), init, OFlags::PATH | OFlags::CLOEXEC)
        .map_err(|error| missing("init", init, error))?;
    Ok(tree)
}

/// Lays the overlay.
pub(super) fn lay(sandbox: &Admitted, places: &Places, lower: &Detached) -> io::Result<()> {
    let [below, upper, work, root] = ["lower", "upper", "work", "root"].map(|n| places.top.join(n));
    for directory in [&below, &upper, &work, &root] {
        private_dir(directory)?;
    }
    lower.attach(&below)?;
    // The root of an overlay looks like its upper directory.
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))?;
    chown(&upper, Some(sandbox.base()), Some(sandbox.base()))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let options = [
        ("lowerdir", text(&below)),
        ("upperdir", text(&upper)),
        ("workdir", text(&work)),
    ];
    let options: Vec<(&str, &str)> = options.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Detached::new("overlay", &options, SAFE)?.attach(&root)
}
