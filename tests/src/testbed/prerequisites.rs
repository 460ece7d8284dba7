//! The Debian packages the testbed needs on this machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::process::tool;

/// A program that has to be there, and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("systemctl", "systemd"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("dbus-daemon", "dbus"),
    ("gpg", "gpg"),
    ("npm", "npm"),
    ("tar", "tar"),
];

/// A file that has to be there, and the package that brings it.
const NEEDED_FILES: &[(&str, &str)] = &[(
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "debian-archive-keyring",
)];

/// Installs what is missing, and says so. Nothing happens when everything is there.
pub(super) fn install() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the testbed boots a host, which only root can: run this as root");
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("testbed: installing {}", missing.join(" "));
    let hint = "install these packages by hand and try again";
    if let Err(error) = tool(apt().arg("update")) {
        // One source that does not answer need not matter.
        eprintln!("testbed: {error:#}");
    }
    tool(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(&missing),
    )
    .context(hint)?;
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
    command
}

fn missing() -> Vec<&'static str> {
    let programs = NEEDED.iter().filter(|(name, _)| !on_path(name));
    let files = NEEDED_FILES
        .iter()
        .filter(|(path, _)| !Path::new(path).exists());
    let mut packages: Vec<&str> = programs.chain(files).map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(usual)
        .any(|dir| dir.join(program).is_file())
}
