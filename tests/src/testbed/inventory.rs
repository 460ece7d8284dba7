//! What there is in the host of the things sandboxes are made of, to compare before with after.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};

use super::instance::Testbed;

/// One line per unit, machine, mount, interface, cgroup, process and file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory(BTreeSet<String>);

/// Lists everything that a sandbox may leave behind, a kind per line's first word. The secrets
/// and state directories are listed with their files' names only; the salt of the fingerprints is the
/// host's, made with the first.
const LIST: &str = r#"
systemctl list-units --all --plain --no-legend 'forage-*' | awk '{print "unit", $1, $3}'
machinectl list --all --no-legend | awk '{print "machine", $1}'
findmnt --raw --noheadings --output TARGET | sed 's/^/mount /'
ip -oneline link | awk '{print "link", $2}'
nft list tables | sed 's/^/firewall /'
find /sys/fs/cgroup -type d -name '*forage-*' | sed 's/^/cgroup /'
find /run/systemd/nspawn -mindepth 2 2>/dev/null | sed "s/^/file /"
find /run/firefly-forage /run/systemd/machines \
  /run/systemd/transient /run/systemd/system /run/systemd/system.control \
  /var/lib/firefly-forage -xdev ! -name fingerprint-salt 2>/dev/null | sed 's/^/file /'
find /run/firefly-forage/secrets -mindepth 1 2>/dev/null | sed 's/^/secret /'
ps -e -o comm= | awk '/nspawn|forage-shim|forage-ctl|^claude$/ {count[$1]++}
  END {for (name in count) print "process", name, count[name]}'
"#;

impl Testbed {
    /// Takes stock.
    pub fn inventory(&self) -> Result<Inventory> {
        let outcome = self.sh("root", LIST)?;
        if !outcome.ok() {
            bail!("cannot take stock of the testbed: {}", outcome.text());
        }
        Ok(Inventory(
            outcome
                .stdout
                .lines()
                .map(|line| line.trim().to_owned())
                .collect(),
        ))
    }
}

impl Inventory {
    /// What is here and was not there before.
    pub fn since(&self, before: &Self) -> Self {
        Self(self.0.difference(&before.0).cloned().collect())
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().try_for_each(|line| writeln!(out, "{line}"))
    }
}
