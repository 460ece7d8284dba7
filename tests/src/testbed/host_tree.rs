//! The host: Debian with systemd, the system bus, polkit and machined.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tree::{Recipe, cached, inside, write};
use super::units;

const RECIPE: Recipe = Recipe {
    kind: "host",
    version: 1,
    packages: &[
        "bash-completion",
        "busybox-static",
        "dbus",
        "firewalld",
        "fish",
        "git",
        "iproute2",
        "iptables",
        "libfaketime",
        "libnss-systemd",
        "nftables",
        "nix-bin",
        "nix-setup-systemd",
        "polkitd",
        "procps",
        "python3-tomlkit",
        "strace",
        "systemd",
        "systemd-container",
        "systemd-sysv",
        "tmux",
        "util-linux",
        "zsh",
    ],
    masked: units::HOST,
    extra: JOURNAL,
};

/// Tests read the journal: nothing may be dropped from it.
const JOURNAL: &str = "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n";

/// The host tree, built when it is not there yet.
pub(super) fn build() -> Result<PathBuf> {
    cached(&RECIPE, finish)
}

fn finish(tree: &Path) -> Result<()> {
    let nix = tree.join("nix");
    fs::create_dir_all(&nix).with_context(|| format!("cannot make {}", nix.display()))?;
    // Its socket starts it; most runs need it not at all.
    let daemon = tree.join("etc/systemd/system/multi-user.target.wants/nix-daemon.service");
    fs::remove_file(&daemon).with_context(|| format!("cannot remove {}", daemon.display()))?;
    // Most hosts have another firewall or none; a test starts this one. Its alias on the bus goes too.
    inside(
        tree,
        &["systemctl", "--quiet", "disable", "firewalld.service"],
    )?;
    write(
        tree,
        "etc/systemd/journald.conf.d/testbed.conf",
        JOURNAL.as_bytes(),
    )
}
