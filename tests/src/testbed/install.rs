//! Installing what was built into a root, as a package would.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::cargo::Binaries;
use super::paths::repository;
use super::process::tool;
use super::tree::write;

/// Binary and place.
const BINARIES: &[(&str, &str)] = &[
    ("foraged", "usr/bin/foraged"),
    ("forage-ctl", "usr/bin/forage-ctl"),
    ("forage-shim", "usr/libexec/forage-shim"),
    ("internet", "usr/local/bin/internet"),
];

/// Installs everything into `root`; `system` is a store path.
pub(super) fn install(root: &Path, binaries: &Binaries, system: &Path) -> Result<()> {
    for (name, place) in BINARIES {
        let built = binaries
            .get(*name)
            .with_context(|| format!("cargo built no {name}"))?;
        copy(built, &root.join(place), 0o755)?;
    }
    tool(
        Command::new("sh")
            .arg(repository().join("daemon/data/install.sh"))
            .arg(root)
            .arg("/usr")
            // As Debian's zsh looks for them.
            .env("ZSH_COMPLETIONS", "share/zsh/vendor-completions"),
    )
    .context("cannot install what a package installs")?;
    configure(root, system)
}

/// What an administrator adds: the configuration and the secret it names.
fn configure(root: &Path, system: &Path) -> Result<()> {
    let config = repository().join("tests/data/config.toml");
    let text = fs::read_to_string(&config)
        .with_context(|| format!("cannot read {}", config.display()))?
        .replace("@system@", &system.to_string_lossy());
    write(root, "etc/firefly-forage/config.toml", text.as_bytes())?;
    let secret = "etc/forage-secrets/anthropic";
    write(root, secret, b"sk-ant-api03-testbed-secret-file\n")?;
    for (path, mode) in [("etc/forage-secrets", 0o700), (secret, 0o600)] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {path}"))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let copying = || format!("cannot install {} as {}", from.display(), to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(copying)?;
    }
    fs::copy(from, to).with_context(copying)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).with_context(copying)
}
