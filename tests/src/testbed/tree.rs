//! Building a Debian tree once and keeping it under a name made from its recipe.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::paths::{cache, hash};
use super::process::tool;

/// The Debian release of both trees.
const RELEASE: &str = "trixie";

/// What a tree is made of. Everything that changes the result is part of its key.
pub(super) struct Recipe {
    /// What the tree is for; the first part of its name.
    pub(super) kind: &'static str,
    /// Raised when the steps after the packages change.
    pub(super) version: u32,
    pub(super) packages: &'static [&'static str],
    /// Units that have no job here and only slow the boot down.
    pub(super) masked: &'static [&'static str],
    /// Whatever else the result depends on.
    pub(super) extra: &'static str,
}

impl Recipe {
    /// Where the finished tree is, or will be.
    pub(super) fn place(&self) -> PathBuf {
        cache().join(format!("{}-{:016x}", self.kind, self.key()))
    }

    fn key(&self) -> u64 {
        let Self {
            kind,
            version,
            packages,
            masked,
            extra,
        } = self;
        let text = format!("{kind} {version} {RELEASE} {packages:?} {masked:?} {extra}");
        hash(&text)
    }
}

/// Returns the tree, building it when it is not there yet. `finish` gets the unpacked tree and
/// does what packages do not. A build that fails or is interrupted leaves no tree behind.
pub(super) fn cached(recipe: &Recipe, finish: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = recipe.place();
    if place.is_dir() {
        return Ok(place);
    }
    let began = Instant::now();
    eprintln!("testbed: building the {} tree (once)", recipe.kind);
    let building = place.with_extension("building");
    if building.exists() {
        fs::remove_dir_all(&building)
            .with_context(|| format!("cannot clear {}", building.display()))?;
    }
    unpack(recipe, &building)
        .and_then(|()| forget_this_machine(&building))
        .and_then(|()| mask(&building, recipe.masked))
        .and_then(|()| finish(&building))
        .with_context(|| format!("cannot build the {} tree", recipe.kind))?;
    fs::rename(&building, &place)
        .with_context(|| format!("cannot move the finished tree to {}", place.display()))?;
    eprintln!(
        "testbed: {} tree built in {:.0} s",
        recipe.kind,
        began.elapsed().as_secs_f64()
    );
    Ok(place)
}

/// mmdebstrap runs in namespaces of its own: its mounts are never seen from here, where the next
/// build clears up after an interrupted one, and nothing of it outlives us.
fn unpack(recipe: &Recipe, dir: &Path) -> Result<()> {
    let include = format!("--include={}", recipe.packages.join(","));
    tool(
        Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--pid",
                "--fork",
                "--kill-child=KILL",
            ])
            .args(["--mount-proc", "--propagation", "private"])
            .args([
                "mmdebstrap",
                "--mode=root",
                "--variant=apt",
                &include,
                RELEASE,
            ])
            .arg(dir),
    )
    .context("is the package archive reachable?")?;
    Ok(())
}

/// mmdebstrap copies these from the machine it runs on.
fn forget_this_machine(dir: &Path) -> Result<()> {
    for file in ["etc/hostname", "etc/resolv.conf"] {
        let path = dir.join(file);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn mask(dir: &Path, units: &[&str]) -> Result<()> {
    for unit in units {
        let path = dir.join("etc/systemd/system").join(unit);
        replace_link(Path::new("/dev/null"), &path)?;
    }
    replace_link(
        Path::new("/usr/lib/systemd/system/multi-user.target"),
        &dir.join("etc/systemd/system/default.target"),
    )
}

fn replace_link(target: &Path, link: &Path) -> Result<()> {
    if link.is_symlink() {
        fs::remove_file(link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    std::os::unix::fs::symlink(target, link)
        .with_context(|| format!("cannot make the link {}", link.display()))
}

/// Runs a program of the tree's own in it.
pub(super) fn inside(tree: &Path, argv: &[&str]) -> Result<String> {
    let mount_proc = "mount -t proc proc \"$1/proc\" && exec chroot \"$@\"";
    tool(
        Command::new("unshare")
            .args([
                "--mount",
                "--propagation=private",
                "sh",
                "-c",
                mount_proc,
                "sh",
            ])
            .arg(tree)
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/tmp"),
    )
}

/// Writes a file of the tree, with its parents.
pub(super) fn write(tree: &Path, path: &str, content: &[u8]) -> Result<()> {
    let path = tree.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
}
