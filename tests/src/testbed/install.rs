//! Installing what was built into a root, as a package would: one table says what goes where.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::cargo::Binaries;
use super::paths::repository;
use super::tree::write;

/// Binary and place.
const BINARIES: &[(&str, &str)] = &[
    ("foraged", "usr/bin/foraged"),
    ("forage-ctl", "usr/bin/forage-ctl"),
    ("forage-shim", "usr/libexec/forage-shim"),
    ("internet", "usr/local/bin/internet"),
];

/// Directory below `daemon/data`, the files' extension, and the place. Every file there has to
/// have one.
const DATA: &[(&str, &str, &str)] = &[
    ("systemd", "service", "usr/lib/systemd/system"),
    ("systemd", "mount", "usr/lib/systemd/system"),
    ("systemd", "socket", "usr/lib/systemd/system"),
    ("systemd", "slice", "usr/lib/systemd/system"),
    ("systemd", "target", "usr/lib/systemd/system"),
    ("systemd-user", "service", "usr/lib/systemd/user"),
    ("dbus", "conf", "usr/share/dbus-1/system.d"),
    ("dbus", "service", "usr/share/dbus-1/system-services"),
    ("dbus", "xml", "usr/share/dbus-1/interfaces"),
    ("polkit", "policy", "usr/share/polkit-1/actions"),
    ("polkit", "rules", "usr/share/polkit-1/rules.d"),
    ("sysusers", "conf", "usr/lib/sysusers.d"),
    ("tmpfiles", "conf", "usr/lib/tmpfiles.d"),
    ("sysctl", "conf", "usr/lib/sysctl.d"),
];

/// What is made from the command lines: a file below `docs`, and its place.
const COMPLETIONS: &[(&str, &str)] = &[
    (
        "completions/forage-ctl.bash",
        "usr/share/bash-completion/completions/forage-ctl",
    ),
    (
        "completions/_forage-ctl",
        "usr/share/zsh/vendor-completions/_forage-ctl",
    ),
    (
        "completions/forage-ctl.fish",
        "usr/share/fish/vendor_completions.d/forage-ctl.fish",
    ),
];

/// What has to be among them.
const EXPECTED: &[&str] = &[
    "systemd/firefly-forage.service",
    "systemd/forage-sandbox@.service",
    "systemd-user/forage-host-login.service",
    "dbus/org.firefly.Forage1.conf",
    "dbus/org.firefly.Forage1.service",
    "dbus/org.firefly.Forage1.xml",
    "polkit/org.firefly.forage1.policy",
    "sysusers/firefly-forage.conf",
    "tmpfiles/firefly-forage.conf",
];

/// Installs everything into `root`; `system` is a store path.
pub(super) fn install(root: &Path, binaries: &Binaries, system: &Path) -> Result<()> {
    for (name, place) in BINARIES {
        let built = binaries
            .get(*name)
            .with_context(|| format!("cargo built no {name}"))?;
        copy(built, &root.join(place), 0o755)?;
    }
    let docs = repository().join("docs");
    for (file, place) in COMPLETIONS {
        copy(&docs.join(file), &root.join(place), 0o644)?;
    }
    for page in list(&docs.join("man"))? {
        let (_, section) = page
            .rsplit_once('.')
            .context("a manual page has no section")?;
        let place = format!("usr/share/man/man{section}/{page}");
        copy(&docs.join("man").join(&page), &root.join(place), 0o644)?;
    }
    let data = repository().join("daemon/data");
    for file in EXPECTED {
        if !data.join(file).is_file() {
            bail!("daemon/data/{file} is missing, a package could not be made");
        }
    }
    for kind in list(&data)? {
        for file in list(&data.join(&kind))? {
            let place = place_of(&kind, &file).with_context(|| {
                format!("daemon/data/{kind}/{file} has no place; give it one in install.rs")
            })?;
            copy(
                &data.join(&kind).join(&file),
                &root.join(place).join(&file),
                0o644,
            )?;
        }
    }
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

fn place_of(kind: &str, file: &str) -> Option<&'static str> {
    let (_, extension) = file.rsplit_once('.')?;
    DATA.iter()
        .find(|row| row.0 == kind && row.1 == extension)
        .map(|row| row.2)
}

fn list(dir: &Path) -> Result<Vec<String>> {
    let reading = || format!("cannot read {}", dir.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(reading)? {
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

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let copying = || format!("cannot install {} as {}", from.display(), to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(copying)?;
    }
    fs::copy(from, to).with_context(copying)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).with_context(copying)
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn kinds_go_where_a_package_puts_them() {
        let place = place_of("dbus", "org.firefly.Forage1.conf");
        assert_eq!(place, Some("usr/share/dbus-1/system.d"));
        assert_eq!(place_of("systemd", "forage.conf"), None);
        assert_eq!(place_of("polkit", "noextension"), None);
    }
}
