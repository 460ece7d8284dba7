//! Everything a boot needs, made when it is missing.

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::cargo::{self, Binaries, Profile};
use super::nix_store::NixStore;
use super::paths::cache;
use super::{host_tree, prerequisites, sandbox_tree};

/// What boots are made from.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) host: PathBuf,
    pub(super) sandbox: PathBuf,
    pub(super) nix: NixStore,
    pub(super) binaries: Binaries,
}

/// Installs the packages this machine lacks, builds the two trees and the binaries, all at once,
/// and says what takes long. With everything in place this takes a moment.
pub fn prepare(profile: Profile) -> Result<Prepared> {
    let _lock = lock()?;
    thread::scope(|scope| {
        let host = scope.spawn(host_tree::build);
        let sandbox = scope.spawn(sandbox_tree::build);
        let binaries = cargo::build(profile);
        let broken = |_| anyhow!("building a tree broke off");
        let host = host.join().map_err(broken)??;
        let sandbox = sandbox.join().map_err(broken)??;
        Ok(Prepared {
            nix: NixStore::build(&host, &sandbox)?,
            host,
            sandbox,
            binaries: binaries?,
        })
    })
}

/// The tree of the host, of which tests use programs without booting it: its Nix.
pub fn host() -> Result<PathBuf> {
    let _lock = lock()?;
    host_tree::build()
}

/// Whoever holds it builds alone.
fn lock() -> Result<File> {
    prerequisites::install()?;
    fs::create_dir_all(cache()).with_context(|| format!("cannot make {}", cache().display()))?;
    let lock = cache().join("lock");
    let lock = File::create(&lock).with_context(|| format!("cannot make {}", lock.display()))?;
    lock.lock()
        .context("cannot wait for another build of the testbed's trees")?;
    Ok(lock)
}
