//! The sandbox's root, of one of two kinds: a distribution's tree under an overlay, or an empty root
//! with the Nix store in it. Either way what is written goes to a tmpfs of limited size. All of it is
//! mounted in a namespace of the shim's own, below `pin/<id>`, and is gone when the shim is.
//!
//! | part | what |
//! | --- | --- |
//! | `tree` | the root of a template with `root` |
//! | `system`, `store_path` | the root of a template with `system`, and the way to its init |
//! | `gc_root` | what keeps Nix from collecting a system that runs |
//! | `inside` | directories and files made in the root as the sandbox's own root would |

pub mod gc_root;
pub(crate) mod inside;
mod store_path;
mod system;
mod tree;

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};

use forage_api::config::Base;
use forage_api::ident::SandboxId;
use forage_api::{Failure, places};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use crate::admission::Admitted;
use crate::fail::start;
use crate::sys::mount::{Detached, leave_host};
use crate::sys::userns::{IdRange, with_map};

/// No file there gives rights or is a device.
const SAFE: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

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

    /// The resolvers, for a sandbox with a network.
    pub fn network(&self) -> PathBuf {
        self.top.join("net")
    }

    /// The agents' configuration directories, by number.
    pub fn config(&self, number: usize) -> PathBuf {
        self.top.join(format!("config-{number}"))
    }

    /// The socket nspawn reports to.
    pub fn notify(&self) -> PathBuf {
        self.top.join("notify")
    }
}

/// What a template's root is made of, checked, and mounted where nobody sees it yet.
#[derive(Debug)]
pub enum Opened {
    /// The tree, shifted into the sandbox's ids.
    Tree(Detached),
    /// The Nix store.
    System(Detached),
}

/// Opens what a template's root is made of.
///
/// # Errors
/// Something of it is missing, or its file system cannot be used like that.
pub fn open(sandbox: &Admitted) -> Result<Opened, Failure> {
    match &sandbox.template.base {
        Base::Tree { root, init } => tree::open(sandbox, root, init).map(Opened::Tree),
        Base::System { system } => system::open(sandbox, system).map(Opened::System),
    }
}

/// Mounts the root. This is the step that leaves the host's mount namespace, so what it is made of
/// must have been opened, and the workspace pinned, before.
///
/// # Errors
/// A mount cannot be made.
pub fn build(sandbox: &Admitted, opened: &Opened) -> Result<Places, Failure> {
    let places = Places::of(sandbox.id());
    make_pin(&places).map_err(|error| start("make the place of the mounts", error))?;
    leave_host().map_err(|error| start("make a mount namespace", error))?;
    let failed = |error| start("mount the sandbox's root", error);
    memory(sandbox, &places).map_err(failed)?;
    match opened {
        Opened::Tree(lower) => tree::lay(sandbox, &places, lower),
        Opened::System(store) => system::furnish(sandbox, &places, store),
    }
    .map_err(failed)?;
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
    make_path(sandbox, places, &sandbox.template.workspace_path).map(drop)
}

/// Makes what is missing of a path in the root, and opens it.
///
/// # Errors
/// The root has no room for it, or something else than a directory in its place.
pub fn make_path(sandbox: &Admitted, places: &Places, path: &Path) -> Result<OwnedFd, Failure> {
    inside::make_path(sandbox, &places.root(), path)
        .map_err(|error| start(format_args!("make {} in the root", path.display()), error))
}

/// Makes the place of a configuration directory, beside the root and in it. What comes back is a
/// mount of it through which the owner writes what then is the agent's.
///
/// # Errors
/// It cannot be made.
pub fn add_config(
    sandbox: &Admitted,
    places: &Places,
    number: usize,
    inside: &Path,
) -> Result<Detached, Failure> {
    let place = places.config(number);
    let (agent, owner) = (
        (sandbox.agent_uid(), sandbox.agent_gid()),
        (sandbox.owner.uid, sandbox.owner.gid),
    );
    let make = || {
        private_dir(&place)?;
        chown(&place, Some(agent.0), Some(agent.1))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let made = rustix::fs::open(&place, flags, Mode::empty())?;
        let mount = Detached::clone_of(made.as_fd())?;
        let one = |from, to| IdRange { from, to, count: 1 };
        let ids = with_map(one(agent.0, owner.0), one(agent.1, owner.1))?;
        mount.restrict(SAFE, Some(ids.as_fd()))?;
        inside::make_path(sandbox, &places.root(), inside)?;
        Ok(mount)
    };
    make().map_err(|error: io::Error| start(format_args!("make {}", inside.display()), error))
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

/// The id map between what is stored and what the sandbox sees: of root and those that follow it.
fn shifted_ids(sandbox: &Admitted, count: u32) -> Result<OwnedFd, Failure> {
    let range = IdRange {
        from: 0,
        to: sandbox.base(),
        count,
    };
    with_map(range, range).map_err(|error| start("make the root's id map", error))
}

/// The tmpfs that holds everything the sandbox writes.
fn memory(sandbox: &Admitted, places: &Places) -> io::Result<()> {
    let size = sandbox.template.root_size.bytes().to_string();
    let options = [("size", size.as_str()), ("mode", "0700")];
    Detached::new("tmpfs", &options, SAFE)?.attach(&places.top)
}
