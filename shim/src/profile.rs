//! Lines for login shells. A distribution's profile sets `PATH` anew, so that they would not find the
//! agents' wrappers; what lies in its `profile.d` comes after that, and on NixOS `profile.local`.
//! They have the template's variables, too, however they were started.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use forage_api::config::{Base, Template};
use forage_api::places;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::admission::Admitted;
use crate::root::Places;
use crate::root::inside::write_file;
use crate::sys::files::open_in_root;
use crate::wrapper::unless_set;

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
    let text = lines(&sandbox.template);
    write_file(&directory, name, sandbox.base(), &text)
}

/// Root runs no agents.
fn lines(template: &Template) -> String {
    let wrappers = places::INSIDE_WRAPPERS;
    let variables: String = template
        .environment
        .iter()
        .map(|(name, value)| format!("  {}\n", unless_set(name.as_str(), value)))
        .collect();
    format!(
        "# Agents are started through their wrappers.\n\
         if [ \"$(id -u)\" != 0 ]; then\n  \
           PATH={wrappers}:${{PATH#{wrappers}:}}\n\
         {variables}fi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    #[test]
    fn the_wrappers_come_first_in_a_real_shell() {
        let place = tempfile::tempdir().unwrap();
        let directory = OwnedFd::from(File::open(place.path()).unwrap());
        let me = rustix::process::getuid().as_raw();
        let template = crate::testing::template("environment = { GIVEN = \"it's\", B = \"b\" }");
        write_file(&directory, "last.sh", me, "old").unwrap();
        write_file(&directory, "last.sh", me, &lines(&template)).unwrap();
        let script = place.path().join("last.sh");
        let path = crate::testing::path();
        let with_wrappers = format!("/run/forage/bin:{path}");
        for (before, after) in [(&path, &with_wrappers), (&with_wrappers, &with_wrappers)] {
            // As if by another user than root: the shell finds this `id` first.
            let output = Command::new("/bin/sh")
                .arg("-c")
                .arg("id() { echo 7; }; . \"$1\"; printf %s \"$PATH $GIVEN $B\"")
                .args(["sh".as_ref(), script.as_os_str()])
                .env_clear()
                .env("PATH", before)
                .env("B", "mine")
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said, format!("{after} it's mine"));
        }
    }
}
