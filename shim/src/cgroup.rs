//! The unit's part of the cgroup tree. systemd delegates it: the shim lives in `supervisor`, nspawn
//! puts the container into `payload`, and commands that are executed in it go into `exec/<n>`
//! beside that.

mod freezer;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long what an earlier run left may take to go.
const CLEARING: Duration = Duration::from_secs(2);

use rustix::event::PollFlags;

use crate::sys::time::{Deadline, poll_one};

/// The cgroup of the shim's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// As `/proc/<pid>/cgroup` writes it.
    path: String,
}

impl Unit {
    /// Finds it.
    ///
    /// # Errors
    /// `/proc` does not say.
    pub fn own() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/self/cgroup")?;
        Self::parse(&text).ok_or_else(|| io::Error::other("the host has no unified cgroups"))
    }

    /// Finds it in the text of `/proc/self/cgroup`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let path = unified(text)?;
        let path = path.strip_suffix("/supervisor").unwrap_or(path);
        (path.starts_with('/') && !path.split('/').any(|part| part == "..")).then(|| Self {
            path: path.to_owned(),
        })
    }

    /// Tells whether a process with this `/proc/<pid>/cgroup` is in the unit.
    pub fn holds(&self, text: &str) -> bool {
        let below = |path: &str| path == self.path || path.starts_with(&format!("{}/", self.path));
        unified(text).is_some_and(below)
    }

    /// Makes a cgroup for one executed command.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make_exec(&self, number: u64) -> io::Result<ExecGroup> {
        let parent = self.exec();
        let path = parent.join(number.to_string());
        make_directory(&parent)?;
        make_directory(&path)?;
        let directory = File::open(&path)?.into();
        Ok(ExecGroup { path, directory })
    }

    /// Removes the cgroups of commands that left something in the background which has ended since.
    /// Those of the numbers that are in use are let alone: something may be about to be born there.
    pub fn remove_empty_execs(&self, in_use: impl Fn(u64) -> bool) {
        let Ok(entries) = fs::read_dir(self.exec()) else {
            return;
        };
        for entry in entries.flatten() {
            let number = entry.file_name().to_string_lossy().parse();
            if number.is_ok_and(|number| !in_use(number)) {
                // One that is not empty refuses.
                fs::remove_dir(entry.path()).ok();
            }
        }
    }

    /// Kills every process of the container and every executed command, at once.
    pub fn kill_sandbox(&self) {
        for group in [self.file("payload"), self.exec()] {
            // Not there, or not this kernel: systemd kills what is left in the unit.
            fs::write(group.join("cgroup.kill"), "1").ok();
        }
    }

    /// Removes what an earlier run left of the container's cgroups: systemd in a container cannot boot
    /// in one that belongs to somebody else. There is nothing to do where systemd could clear up.
    pub fn clear(&self) {
        let left: Vec<PathBuf> = [self.file("payload"), self.exec()]
            .into_iter()
            .filter(|group| group.exists())
            .collect();
        if left.is_empty() {
            return;
        }
        self.kill_sandbox();
        let end = Instant::now() + CLEARING;
        for group in left {
            // Processes that were killed count until they are reaped.
            while let Err(error) = remove_tree(&group) {
                if Instant::now() > end {
                    let why = crate::fail::reason(&error);
                    tracing::error!(
                        FORAGE_EVENT = "left",
                        "cannot remove the cgroup {}: {why}",
                        group.display()
                    );
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Kills what is left of one executed command.
    pub fn kill_exec(&self, number: u64) {
        // Nothing is left where there is no such group.
        fs::write(
            self.exec().join(number.to_string()).join("cgroup.kill"),
            "1",
        )
        .ok();
    }

    fn exec(&self) -> PathBuf {
        self.file("exec")
    }

    fn file(&self, name: &str) -> PathBuf {
        let below = self.path.trim_start_matches('/');
        Path::new("/sys/fs/cgroup").join(below).join(name)
    }
}

/// Removes a cgroup and all below it, without recursion: how deep they are is the container's choice.
fn remove_tree(top: &Path) -> io::Result<()> {
    const MOST: usize = 10_000;
    let mut all = vec![top.to_owned()];
    let mut looked = 0;
    while looked < all.len() && all.len() < MOST {
        for entry in fs::read_dir(&all[looked])? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                all.push(entry.path());
            }
        }
        looked += 1;
    }
    all.iter().rev().try_for_each(fs::remove_dir)
}

/// Makes a directory unless there is one.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Waits until a `cgroup.events` has this line; `Ok(false)`: the deadline came first.
fn wait_for_event(mut events: File, wanted: &str, deadline: Deadline) -> io::Result<bool> {
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        if text.lines().any(|line| line == wanted) {
            return Ok(true);
        }
        if !poll_one(events.as_fd(), PollFlags::PRI, deadline)? {
            return Ok(false);
        }
    }
}

fn unified(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The cgroup of one executed command.
#[derive(Debug)]
pub struct ExecGroup {
    path: PathBuf,
    /// The directory, to begin a process in.
    pub directory: OwnedFd,
}

impl ExecGroup {
    /// Kills everything in it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Waits until nothing is left in it; `Ok(false)`: the deadline came first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn wait_until_empty(&self, deadline: Deadline) -> io::Result<bool> {
        let events = File::open(self.path.join("cgroup.events"))?;
        wait_for_event(events, "populated 0", deadline)
    }

    /// Removes it if nothing is left in it; what was put into the background keeps it.
    pub fn remove_if_empty(&self) {
        fs::remove_dir(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_found_with_and_without_a_supervisor() {
        let unit = |text| Unit::parse(text).map(|unit| unit.path);
        let own = "/machine.slice/forage-sandbox@00000abc.service";
        for text in [
            "0::/machine.slice/forage-sandbox@00000abc.service/supervisor\n",
            "0::/machine.slice/forage-sandbox@00000abc.service\n",
            "12:pids:/x\n0::/machine.slice/forage-sandbox@00000abc.service/supervisor\n",
        ] {
            assert_eq!(unit(text).as_deref(), Some(own), "{text}");
        }
        assert_eq!(unit("1:name=systemd:/x\n"), None);
        assert_eq!(unit("0::/../other/supervisor\n"), None);
        assert_eq!(unit(""), None);
    }

    #[test]
    fn a_tree_of_any_depth_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().join("payload");
        let mut deep = top.clone();
        for _ in 0..200 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        assert!(remove_tree(&top).is_err());
    }

    #[test]
    fn processes_of_other_units_are_not_in_it() {
        let unit = Unit::parse("0::/m/forage-sandbox@1.service/supervisor").unwrap();
        assert!(unit.holds("0::/m/forage-sandbox@1.service/payload/init.scope\n"));
        assert!(!unit.holds("0::/m/forage-sandbox@1.service2/payload\n"));
        assert!(!unit.holds("0::/m\n"));
        assert!(!unit.holds("0::/\n"));
        assert_eq!(
            unit.file("exec"),
            Path::new("/sys/fs/cgroup/m/forage-sandbox@1.service/exec")
        );
    }
}
