//! The sandbox's root: the template's tree, read-only and shifted into the sandbox's ids, under an
//! overlay whose upper layer is a tmpfs of limited size. All of it is mounted in a namespace of the
//! shim's own, below `pin/<id>`, and is gone when the shim is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use forage_api::ident::{SandboxId, Slot};
use forage_api::{ErrorKind, Failure, places};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chmodat, chownat, mkdirat, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::admission::Admitted;
use crate::fail::{cannot, reason, start};
use crate::sys::files::open_in_root;
use crate::sys::mount::{Detached, leave_host};
use crate::sys::userns::{IdRange, with_map};

/// The places of a sandbox's mounts, all below `pin/<id>`.
#[derive(Debug, Clone)]
pub struct Places {
    top: PathBuf,
}

impl Places {
    /// The places of a sandbox.
    pub fn of(id: SandboxId) -> Self {
        Self {
            top: places::pin(id),
        }
    }

    /// The root that nspawn starts.
    pub fn root(&self) -> PathBuf {
        self.top.join("root")
    }

    /// The pinned workspace.
    pub fn workspace(&self) -> PathBuf {
        self.top.join("ws")
    }

    /// The agents' wrappers.
    pub fn wrappers(&self) -> PathBuf {
        self.top.join("wrappers")
    }

    /// The socket nspawn reports to.
    pub fn notify(&self) -> PathBuf {
        self.top.join("notify")
    }
}

/// Opens a template's tree and checks that it has an init.
fn open_tree(sandbox: &Admitted) -> Result<OwnedFd, Failure> {
    let template = &sandbox.template;
    let missing = |what: String| {
        Failure::new(
            ErrorKind::InvalidConfig,
            format!("template {}: {what}", sandbox.record.template),
        )
        .hint("build the template's tree, or correct its keys root and init")
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let tree = open(&template.root, flags, Mode::empty()).map_err(|error| {
        missing(format!(
            "its root {} cannot be opened: {}",
            template.root.display(),
            reason(&error.into())
        ))
    })?;
    open_in_root(tree.as_fd(), &template.init, OFlags::PATH | OFlags::CLOEXEC).map_err(
        |error| {
            missing(format!(
                "its init {} cannot be opened: {}",
                template.init.display(),
                reason(&error.into())
            ))
        },
    )?;
    Ok(tree)
}

/// Mounts the root. This is the step that leaves the host's mount namespace, so the tree must have
/// been shifted, and the workspace pinned, before.
///
/// # Errors
/// A mount cannot be made.
pub fn build(sandbox: &Admitted, lower: Detached) -> Result<Places, Failure> {
    let places = Places::of(sandbox.id());
    make_pin(&places).map_err(|error| start("make the place of the mounts", error))?;
    leave_host().map_err(|error| start("make a mount namespace", error))?;
    layers(sandbox, &places, lower).map_err(|error| start("mount the sandbox's root", error))?;
    Ok(places)
}

/// Puts the workspace beside the root, and makes its place in it.
///
/// # Errors
/// The mount cannot be attached, or the root has no room for it.
pub fn add_workspace(
    sandbox: &Admitted,
    places: &Places,
    workspace: &Detached,
) -> Result<(), Failure> {
    private_dir(&places.workspace())
        .and_then(|()| workspace.attach(&places.workspace()))
        .map_err(|error| start("mount the workspace", error))?;
    make_inside(sandbox, places).map_err(|error| {
        let place = sandbox.template.workspace_path.display();
        start(format_args!("make {place} in the root"), error)
    })
}

/// The template's tree as a read-only mount whose root belongs to the sandbox's root.
///
/// # Errors
/// The tree or its init is missing, or its file system cannot be cloned or id-mapped.
pub fn shift(sandbox: &Admitted) -> Result<Detached, Failure> {
    let tree = open_tree(sandbox)?;
    let unusable = |error: io::Error| {
        cannot(
            ErrorKind::InvalidConfig,
            format_args!(
                "mount the template's root {} with shifted ids",
                sandbox.template.root.display()
            ),
            error,
        )
        .hint("it must lie on a file system that supports id-mapped mounts, such as ext4 or tmpfs")
    };
    let lower = Detached::clone_of(tree.as_fd()).map_err(unusable)?;
    let range = IdRange {
        from: 0,
        to: sandbox.base(),
        count: Slot::SIZE,
    };
    let ids = with_map(range, range).map_err(|error| start("make the root's id map", error))?;
    lower
        .restrict(MountAttrFlags::MOUNT_ATTR_RDONLY, ids.as_fd())
        .map_err(unusable)?;
    Ok(lower)
}

fn make_pin(places: &Places) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(&places.top) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// The tmpfs, and on it the overlay.
fn layers(sandbox: &Admitted, places: &Places, lower: Detached) -> io::Result<()> {
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let size = sandbox.template.root_size.bytes().to_string();
    let memory = Detached::new("tmpfs", &[("size", &size), ("mode", "0700")], safe)?;
    memory.attach(&places.top)?;
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
    Detached::new("overlay", &options, safe)?.attach(&root)
}

/// Makes the place of the workspace in the root, as the sandbox's root would. Links in the tree are
/// followed as they are inside.
fn make_inside(sandbox: &Admitted, places: &Places) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(places.root(), flags, Mode::empty())?;
    let owner = (Uid::from_raw(sandbox.base()), Gid::from_raw(sandbox.base()));
    let mut path = PathBuf::from("/");
    let mut parent = open(places.root(), flags, Mode::empty())?;
    for name in sandbox.template.workspace_path.iter().skip(1) {
        path.push(name);
        parent = match open_in_root(root.as_fd(), &path, flags) {
            Err(Errno::NOENT) => {
                make_in(&parent, name, owner)?;
                open_in_root(root.as_fd(), &path, flags)?
            }
            other => other?,
        };
    }
    Ok(())
}

fn make_in(parent: &OwnedFd, name: &OsStr, (uid, gid): (Uid, Gid)) -> io::Result<()> {
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    chmodat(parent, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
    Ok(chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}
