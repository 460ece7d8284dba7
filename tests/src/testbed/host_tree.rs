//! The host: Debian with systemd, the system bus, polkit and machined.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::tree::{Recipe, cached, write};
use super::units;

const RECIPE: Recipe = Recipe {
    kind: "host",
    version: 1,
    packages: &[
        "dbus",
        "git",
        "iproute2",
        "libfaketime",
        "libnss-systemd",
        "nftables",
        "polkitd",
        "procps",
        "strace",
        "systemd",
        "systemd-container",
        "systemd-sysv",
        "tmux",
        "util-linux",
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
    write(
        tree,
        "etc/systemd/journald.conf.d/testbed.conf",
        JOURNAL.as_bytes(),
    )
}
