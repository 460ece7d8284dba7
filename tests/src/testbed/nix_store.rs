//! `/nix` of the host: a real store that holds a system of NixOS' shape, built by the host's own Nix
//! without a network.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::paths::{cache, hash, repository};
use super::process::tool;

/// Raised when the steps below change.
const VERSION: u32 = 1;

/// What the system is built from, besides the trees.
const EXPRESSIONS: [&str; 3] = [
    include_str!("../../data/nix/system.nix"),
    include_str!("../../data/nix/build.sh"),
    include_str!("../../data/nix/init.sh"),
];

/// Builds in the host's tree, in a mount namespace: `$1` is the host's tree, `$2` its `/nix`, `$3` the
/// tree of the sandboxes, `$4` the expressions.
const BUILD: &str = r#"
set -e
mount --bind "$2" "$1/nix"
mount --bind "$3" "$1/mnt"
mount --bind "$4" "$1/srv"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
exec chroot "$1" nix-build --quiet --no-out-link \
  --option substitute false --option sandbox false --option build-users-group "" \
  --argstr tree /mnt --argstr busybox /usr/bin/busybox /srv/system.nix
"#;

/// The `/nix` of the hosts, built once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NixStore {
    place: PathBuf,
}

impl NixStore {
    /// Builds it when it is not there yet.
    pub(super) fn build(host: &Path, sandbox: &Path) -> Result<Self> {
        let key = hash(&format!("{VERSION} {host:?} {sandbox:?} {EXPRESSIONS:?}"));
        let place = cache().join(format!("nix-{key:016x}"));
        if place.is_dir() {
            return Ok(Self { place });
        }
        let began = Instant::now();
        eprintln!("testbed: building a system in a Nix store (once)");
        let building = place.with_extension("building");
        if building.exists() {
            fs::remove_dir_all(&building)
                .with_context(|| format!("cannot clear {}", building.display()))?;
        }
        build(host, sandbox, &building).context("cannot build a system in a Nix store")?;
        fs::rename(&building, &place)
            .with_context(|| format!("cannot move the finished store to {}", place.display()))?;
        let took = began.elapsed().as_secs_f64();
        eprintln!("testbed: the system was built in {took:.0} s");
        Ok(Self { place })
    }

    /// The system's store path.
    pub(super) fn system(&self) -> Result<PathBuf> {
        let root = self.place.join("nix/var/nix/gcroots/testbed");
        fs::read_link(&root).with_context(|| format!("cannot read {}", root.display()))
    }

    /// Gives a run a `/nix` of its own. Files of a store are never written to, so they are shared;
    /// Nix's database is not.
    pub(super) fn copy(&self, place: &Path) -> Result<()> {
        for (directory, how) in [("store", "--link"), ("var", "--reflink=auto")] {
            let from = self.place.join("nix").join(directory);
            fs::create_dir_all(place)
                .with_context(|| format!("cannot make {}", place.display()))?;
            tool(
                Command::new("cp")
                    .args(["--archive", how])
                    .arg(from)
                    .arg(place),
            )?;
        }
        Ok(())
    }
}

fn build(host: &Path, sandbox: &Path, building: &Path) -> Result<()> {
    let nix = building.join("nix");
    fs::create_dir_all(&nix).with_context(|| format!("cannot make {}", nix.display()))?;
    let printed = tool(
        Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", BUILD, "sh"])
            .args([host, &nix, sandbox, &repository().join("tests/data/nix")])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/tmp"),
    )?;
    let system = printed.lines().last().unwrap_or_default();
    if !system.starts_with("/nix/store/") {
        bail!("nix-build printed {printed:?}");
    }
    let root = nix.join("var/nix/gcroots/testbed");
    symlink(system, &root).with_context(|| format!("cannot make {}", root.display()))
}
