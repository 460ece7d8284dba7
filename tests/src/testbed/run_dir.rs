//! The directory of a run: `spec.json` says what to boot, `state.json` what was booted, and
//! whoever holds `lock` supervises it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cargo::Binaries;
use super::cgroup::Cgroups;
use super::nix_store::NixStore;
use super::paths::{cache, runs};

/// What a supervisor boots.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) host: PathBuf,
    pub(super) sandbox: PathBuf,
    pub(super) nix: NixStore,
    pub(super) binaries: Binaries,
}

/// What a supervisor has booted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) supervisor: i32,
    pub(super) leader: i32,
    /// How often the host was booted.
    pub(super) boots: u32,
    /// What is wrong with a host that came up all the same.
    pub(super) warning: Option<String>,
}

/// Makes the directory of a new run, after sweeping away what killed supervisors left.
pub(super) fn create(spec: &Spec) -> Result<PathBuf> {
    let _guard = guard()?;
    sweep()?;
    let run = runs().join(&spec.name);
    if run.exists() {
        bail!(
            "a testbed named {} is running; end it with `cargo xtask testbed down`",
            spec.name
        );
    }
    fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
    write(&run.join("spec.json"), spec)?;
    Ok(run)
}

/// Takes the lock that says that this run is supervised.
pub(super) fn lock(run: &Path) -> Result<File> {
    let _guard = guard()?;
    let path = run.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    lock.try_lock()
        .with_context(|| format!("{} is taken", path.display()))?;
    Ok(lock)
}

pub(super) fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let writing = || format!("cannot write {}", path.display());
    let text = serde_json::to_vec(content).with_context(writing)?;
    let temporary = path.with_extension("new");
    fs::write(&temporary, text).with_context(writing)?;
    fs::rename(&temporary, path).with_context(writing)
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let reading = || format!("cannot read {}", path.display());
    let text = fs::read(path).with_context(reading)?;
    serde_json::from_slice(&text).with_context(reading)
}

/// The names of the runs that are up.
pub fn running() -> Result<Vec<String>> {
    let _guard = guard()?;
    let mut names = Vec::new();
    for name in all()? {
        if is_supervised(&runs().join(&name))? {
            names.push(name);
        }
    }
    Ok(names)
}

/// Ends the run of this name and waits until nothing is left of it. Returns false when there was
/// none.
pub fn down(name: &str) -> Result<bool> {
    let run = runs().join(name);
    let supervised = running()?.iter().any(|running| running == name);
    if supervised {
        let state: State = read(&run.join("state.json"))?;
        kill(Pid::from_raw(state.supervisor), Signal::SIGTERM)
            .with_context(|| format!("cannot end the supervisor of {name}"))?;
        wait_for_end(name)?;
    }
    let _guard = guard()?;
    sweep()?;
    Ok(supervised)
}

/// Waits until nothing supervises the runs whose names begin so.
pub fn wait_for_end(prefix: &str) -> Result<()> {
    for name in all()?.iter().filter(|name| name.starts_with(prefix)) {
        // A lock that is gone was taken away by its supervisor as the last thing it did.
        if let Ok(lock) = File::open(runs().join(name).join("lock")) {
            lock.lock()
                .with_context(|| format!("cannot wait for the end of {name}"))?;
        }
    }
    Ok(())
}

/// Whoever asks whether a run is supervised holds its lock for a moment: one at a time.
fn guard() -> Result<File> {
    fs::create_dir_all(cache()).with_context(|| format!("cannot make {}", cache().display()))?;
    let path = cache().join("runs.lock");
    let guard = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    guard
        .lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(guard)
}

fn is_supervised(run: &Path) -> Result<bool> {
    let Ok(lock) = File::open(run.join("lock")) else {
        return Ok(false);
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot look at the lock in {}", run.display()))
        }
    }
}

/// Removes what is left of runs whose supervisors were killed. Their processes and mounts went
/// with them.
fn sweep() -> Result<()> {
    for name in all()? {
        let run = runs().join(&name);
        if run.join("lock").exists() && !is_supervised(&run)? {
            Cgroups::of(&name)?.remove()?;
            fs::remove_dir_all(&run)
                .with_context(|| format!("cannot remove what is left of {name}"))?;
        }
    }
    Ok(())
}

fn all() -> Result<Vec<String>> {
    let runs = runs();
    if !runs.exists() {
        return Ok(Vec::new());
    }
    let reading = || format!("cannot read {}", runs.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&runs).with_context(reading)? {
        names.push(
            entry
                .with_context(reading)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names)
}
