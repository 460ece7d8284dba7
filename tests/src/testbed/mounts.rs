//! The root of a run, mounted where only its supervisor and its children see it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::nix_store::NixStore;
use super::paths::cache;

/// Where the sandboxes' root is in the host, as the configuration names it.
const SANDBOX_ROOT: &str = "srv/forage/claude";

/// Leaves the machine's mount namespace: what is mounted from here on vanishes with the process.
pub(super) fn leave_namespace() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .context("cannot keep mounts to the namespace")?;
    // nspawn keeps locks and directories here, which it leaves behind when it is killed.
    mount(
        Some("testbed"),
        "/run",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )
    .context("cannot mount a /run of the run's own")
}

/// Mounts the root of a run and returns its path. The daemon's state lies on the disk, as it
/// would; everything else that is written goes to memory. `/home`, `/nix` and the state are no
/// overlay, which could not be id-mapped.
pub(super) fn mount_root(
    run: &Path,
    host: &Path,
    sandbox: &Path,
    nix: &NixStore,
) -> Result<PathBuf> {
    let memory = run.join("memory");
    make(&memory)?;
    mount(
        Some("testbed"),
        &memory,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )
    .context("cannot mount a tmpfs")?;
    for dir in ["upper", "work", "home", "root"] {
        make(&memory.join(dir))?;
    }
    let root = memory.join("root");
    overlay(&memory, host, &root)?;
    bind(&memory.join("home"), &root.join("home"))?;
    let state = run.join("state");
    make(&state)?;
    bind(&state, &root.join("var/lib/firefly-forage"))?;
    nix.copy(&run.join("nix"))?;
    bind(&run.join("nix"), &root.join("nix"))?;
    let place = root.join(SANDBOX_ROOT);
    bind(sandbox, &place)?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, &place, None::<&str>, read_only, None::<&str>)
        .with_context(|| format!("cannot make {} read-only", place.display()))?;
    Ok(root)
}

/// Takes the run's mounts away again, so that its directory can be deleted.
pub(super) fn unmount(run: &Path) -> Result<()> {
    umount2(&run.join("memory"), MntFlags::MNT_DETACH).context("cannot unmount the run's root")
}

/// Names in the options are relative, so that no character of the repository's path is taken for
/// syntax.
fn overlay(memory: &Path, host: &Path, root: &Path) -> Result<()> {
    let cache = cache();
    std::env::set_current_dir(&cache)
        .with_context(|| format!("cannot enter {}", cache.display()))?;
    let host = host.strip_prefix(&cache).unwrap_or(host).display();
    let memory = memory.strip_prefix(&cache).unwrap_or(memory).display();
    let options = format!("lowerdir={host},upperdir={memory}/upper,workdir={memory}/work");
    mount(
        Some("testbed"),
        root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .context("cannot mount an overlay over the host tree")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    make(to)?;
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot bind {} to {}", from.display(), to.display()))
}

fn make(dir: &Path) -> Result<()> {
    let making = || format!("cannot make {}", dir.display());
    fs::create_dir_all(dir).with_context(making)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).with_context(making)
}
