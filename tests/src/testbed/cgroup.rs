//! A cgroup of its own for each run, so that runs do not meet and nothing stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::paths::checkout;

/// The cgroups of a run: one in the unified tree and, on hybrid machines, one in systemd's.
#[derive(Debug)]
pub(super) struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Where those of the run of this name are.
    pub(super) fn of(name: &str) -> Result<Self> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
        let dir = format!("forage-testbed-{}-{name}", checkout());
        Ok(Self(
            mounts
                .lines()
                .filter_map(hierarchy)
                .map(|place| place.join(&dir))
                .collect(),
        ))
    }

    /// Makes them and moves this process there; its children are born there.
    pub(super) fn enter(&self) -> Result<()> {
        for place in &self.0 {
            let making = || format!("cannot make the cgroup {}", place.display());
            fs::create_dir_all(place).with_context(making)?;
            fs::write(place.join("cgroup.procs"), "0").with_context(making)?;
        }
        Ok(())
    }

    /// The first process of the booted host, as this machine numbers it.
    pub(super) fn leader(&self) -> Result<i32> {
        let places = self
            .0
            .iter()
            .map(|place| place.join("payload/init.scope/cgroup.procs"));
        let found = places
            .filter_map(|path| fs::read_to_string(path).ok())
            .find_map(|pids| {
                let mut pids = pids.lines().filter_map(|line| line.parse().ok());
                pids.find(|pid| is_init(*pid))
            });
        found.context("the host's first process is not in its cgroup")
    }

    /// Leaves them and removes them. Everything in them has ended before.
    pub(super) fn remove(&self) -> Result<()> {
        for place in &self.0 {
            if !place.exists() {
                continue;
            }
            if let Some(parent) = place.parent() {
                fs::write(parent.join("cgroup.procs"), "0").context("cannot leave the cgroup")?;
            }
            remove_tree(place)?;
        }
        Ok(())
    }
}

/// The mount point, when the line is about the unified hierarchy or systemd's own.
fn hierarchy(line: &str) -> Option<PathBuf> {
    let (mount, source) = line.split_once(" - ")?;
    let point = PathBuf::from(mount.split(' ').nth(4)?);
    let named = source.starts_with("cgroup ") && source.ends_with("name=systemd");
    (source.starts_with("cgroup2 ") || named).then_some(point)
}

/// Whether a process is number 1 of its innermost pid namespace.
fn is_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find(|line| line.starts_with("NSpid:"));
    numbers.is_some_and(|line| line.split_whitespace().last() == Some("1"))
}

fn remove_tree(place: &Path) -> Result<()> {
    let removing = || format!("cannot remove the cgroup {}", place.display());
    for entry in fs::read_dir(place).with_context(removing)? {
        let entry = entry.with_context(removing)?;
        if entry.file_type().with_context(removing)?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    // The kernel may count a process that was just reaped for another moment.
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        match fs::remove_dir(place) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error).with_context(removing),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hierarchy;
    use std::path::PathBuf;

    #[test]
    fn the_two_hierarchies_are_found() {
        let unified = "29 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        assert_eq!(
            hierarchy(unified),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        let named = "28 23 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd";
        assert_eq!(
            hierarchy(named),
            Some(PathBuf::from("/sys/fs/cgroup/systemd"))
        );
        assert_eq!(
            hierarchy("27 23 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"),
            None
        );
        assert_eq!(hierarchy("22 1 0:21 / / rw - ext4 /dev/root rw"), None);
    }
}
