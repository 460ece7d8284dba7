//! Stopping the container and executed commands where they stand. The shim and systemd-nspawn go on:
//! they are in a cgroup of their own. A frozen process can be killed without being let go on.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Unit, make_directory, wait_for_event};
use crate::sys::time::Deadline;

impl Unit {
    /// Freezes the container and every executed command, and waits until none of their processes
    /// runs. `Ok(false)`: the deadline came first; the rest stop when they leave the kernel.
    ///
    /// # Errors
    /// What the file system says; then nothing is frozen.
    pub fn freeze(&self, deadline: Deadline) -> io::Result<bool> {
        // A command whose process is about to be born is born frozen.
        make_directory(&self.exec())?;
        let groups = [self.file("payload"), self.exec()];
        for group in &groups {
            set(group, true).inspect_err(|_| {
                self.thaw().ok();
            })?;
        }
        for group in &groups {
            let events = File::open(group.join("cgroup.events"))?;
            if !wait_for_event(events, "frozen 1", deadline)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets what was frozen go on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn thaw(&self) -> io::Result<()> {
        let [payload, exec] = [self.file("payload"), self.exec()].map(|group| set(&group, false));
        // One that there is not cannot be frozen.
        [payload, exec]
            .into_iter()
            .filter(|done| !matches!(done, Err(e) if e.kind() == io::ErrorKind::NotFound))
            .collect()
    }
}

fn set(group: &Path, frozen: bool) -> io::Result<()> {
    fs::write(group.join("cgroup.freeze"), if frozen { "1" } else { "0" })
}
