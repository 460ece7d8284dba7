//! What `daemon/data/install.sh` installs, which packages of every distribution are made with.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use forage_tests::testbed::repository;

/// Everything but the manual pages, below the prefix.
const INSTALLED: &[&str] = &[
    "lib/systemd/system/firefly-forage.service",
    "lib/systemd/system/forage-remove@.service",
    "lib/systemd/system/forage-sandbox@.service",
    "lib/systemd/system/run-firefly\\x2dforage-secrets.mount",
    "lib/systemd/user/forage-host-login.service",
    "lib/sysctl.d/60-firefly-forage.conf",
    "lib/sysusers.d/firefly-forage.conf",
    "lib/tmpfiles.d/firefly-forage.conf",
    "share/bash-completion/completions/forage-ctl",
    "share/dbus-1/interfaces/org.firefly.Forage1.xml",
    "share/dbus-1/system-services/org.firefly.Forage1.service",
    "share/dbus-1/system.d/org.firefly.Forage1.conf",
    "share/fish/vendor_completions.d/forage-ctl.fish",
    "share/polkit-1/actions/org.firefly.forage1.policy",
    "share/polkit-1/rules.d/10-firefly-forage.rules",
    "share/zsh/site-functions/_forage-ctl",
];

fn install(script: &Path, root: &Path, prefix: &str) -> Result<Output> {
    Command::new("sh")
        .arg(script)
        .arg(root)
        .arg(prefix)
        .env_remove("ZSH_COMPLETIONS")
        .output()
        .context("cannot run sh")
}

fn files(directory: &Path, below: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, below, found)?;
        } else {
            found.push(path.strip_prefix(below)?.display().to_string());
        }
    }
    Ok(())
}

#[test]
fn everything_lies_below_the_prefix_and_names_it() -> Result<()> {
    let root = tempfile::tempdir()?;
    let script = repository().join("daemon/data/install.sh");
    let output = install(&script, root.path(), "/opt/forage")?;
    ensure!(output.status.success() && output.stderr.is_empty());
    let prefix = root.path().join("opt/forage");
    let mut found = Vec::new();
    files(root.path(), &prefix, &mut found)?;
    found.sort();
    let (pages, rest): (Vec<_>, Vec<_>) = found
        .iter()
        .map(String::as_str)
        .partition(|file| file.starts_with("share/man/"));
    let mut installed = INSTALLED.to_vec();
    installed.sort_unstable();
    ensure!(rest == installed, "{rest:#?}");
    for page in ["share/man/man1/forage-ctl-up.1", "share/man/man8/foraged.8"] {
        ensure!(pages.contains(&page), "{page}");
    }

    let mut started = Vec::new();
    for unit in rest.iter().filter(|file| file.starts_with("lib/systemd/")) {
        for line in fs::read_to_string(prefix.join(unit))?.lines() {
            if let Some((key, command)) = line.split_once('=')
                && key.starts_with("Exec")
            {
                started.push(command.split(' ').next().unwrap_or_default().to_owned());
            }
        }
    }
    started.sort();
    started.dedup();
    let expected = ["bin/forage-ctl", "bin/foraged", "libexec/forage-shim"];
    ensure!(
        started == expected.map(|name| format!("/opt/forage/{name}")),
        "{started:?}"
    );
    Ok(())
}

#[test]
fn a_file_without_a_place_is_not_forgotten() -> Result<()> {
    let copy = tempfile::tempdir()?;
    let copied = Command::new("cp")
        .arg("-r")
        .args([repository().join("daemon"), repository().join("docs")])
        .arg(copy.path())
        .status()?;
    ensure!(copied.success());
    let data = copy.path().join("daemon/data");
    fs::write(data.join("systemd/forage.timer"), "")?;
    let output = install(&data.join("install.sh"), &copy.path().join("root"), "/usr")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("systemd/forage.timer has no place"),
        "{said}"
    );
    Ok(())
}
