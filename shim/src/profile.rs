//! A line for login shells. A distribution's profile sets `PATH` anew, so that they would not find the
//! agents' wrappers; what lies in its `profile.d` comes after that, and on NixOS `profile.local`.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use forage_api::config::Base;
use forage_api::places;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchown, open, openat, unlinkat};
use rustix::io::Errno;

use crate::admission::Admitted;
use crate::root::Places;
use crate::sys::files::open_in_root;

/// Directory and name: the last of the directory, in the order shells read it.
const OF_A_TREE: (&str, &str) = ("/etc/profile.d", "zz-forage.sh");
/// NixOS' profile ends with this; its activation leaves what is not its own alone.
const OF_A_SYSTEM: (&str, &str) = ("/etc", "profile.local");

/// Writes the line into a sandbox's root, where its shells have such a directory. Nothing runs there
/// yet.
///
/// # Errors
/// What the file system says.
pub fn add(sandbox: &Admitted, places: &Places) -> io::Result<()> {
    let (directory, name) = match &sandbox.template.base {
        Base::Tree { .. } => OF_A_TREE,
        Base::System { .. } => OF_A_SYSTEM,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(places.root(), flags, Mode::empty())?;
    let directory = match open_in_root(root.as_fd(), Path::new(directory), flags) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    write(&directory, name, sandbox.base())
}

fn write(directory: &OwnedFd, name: &str, owner: u32) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    fchown(
        &file,
        Some(Uid::from_raw(owner)),
        Some(Gid::from_raw(owner)),
    )?;
    File::from(file).write_all(line().as_bytes())
}

/// Root runs no agents.
fn line() -> String {
    let wrappers = places::INSIDE_WRAPPERS;
    format!(
        "# Agents are started through their wrappers.\n\
         [ \"$(id -u)\" = 0 ] || PATH={wrappers}:${{PATH#{wrappers}:}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_wrappers_come_first_in_a_real_shell() {
        let place = tempfile::tempdir().unwrap();
        let directory = OwnedFd::from(File::open(place.path()).unwrap());
        let me = rustix::process::getuid().as_raw();
        write(&directory, "last.sh", me).unwrap();
        write(&directory, "last.sh", me).unwrap();
        let script = place.path().join("last.sh");
        for (before, after) in [
            ("/usr/bin:/bin", "/run/forage/bin:/usr/bin:/bin"),
            ("/run/forage/bin:/bin", "/run/forage/bin:/bin"),
        ] {
            // As if by another user than root: the shell finds this `id` first.
            let output = Command::new("/bin/sh")
                .arg("-c")
                .arg("id() { echo 7; }; . \"$1\"; printf %s \"$PATH\"")
                .args(["sh".as_ref(), script.as_os_str()])
                .env_clear()
                .env("PATH", before)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), after);
        }
    }
}
