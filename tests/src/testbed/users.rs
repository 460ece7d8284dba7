//! The people of the testbed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result};

use super::tree::{inside, write};

/// alice is the configured user, bob another member of the group, mallory nobody's friend. carol and
/// those after her are members too, with a token store that only one test uses.
const PEOPLE: &[(&str, u32, bool)] = &[
    ("alice", 1000, true),
    ("bob", 1001, true),
    ("mallory", 1002, false),
    ("carol", 1003, true),
    ("dave", 1004, true),
    ("erin", 1005, true),
    ("frank", 1006, true),
    ("grace", 1007, true),
    ("heidi", 1008, true),
];

/// Makes our system user and group from the installed sysusers.d file, the people, their homes,
/// and enables the daemon, as a package's scripts and an administrator would.
pub(super) fn create(root: &Path) -> Result<()> {
    let mut lines = String::new();
    for (name, uid, member) in PEOPLE {
        lines.push_str(&format!(
            "g {name} {uid}\nu {name} {uid}:{uid} - /home/{name} /bin/bash\n"
        ));
        if *member {
            lines.push_str(&format!("m {name} forage\n"));
        }
    }
    write(root, "etc/sysusers.d/people.conf", lines.as_bytes())?;
    inside(root, &["systemd-sysusers"]).context("cannot make the users")?;
    for (name, uid, _) in PEOPLE {
        let home = root.join("home").join(name);
        let making = || format!("cannot make the home of {name}");
        fs::create_dir_all(&home).with_context(making)?;
        chown(&home, Some(*uid), Some(*uid)).with_context(making)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).with_context(making)?;
    }
    inside(
        root,
        &["systemctl", "--quiet", "enable", "firefly-forage.service"],
    )
    .context("cannot enable the daemon")?;
    Ok(())
}
