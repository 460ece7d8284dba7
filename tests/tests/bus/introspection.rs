//! The interface as outsiders see it, against the file that is installed.

use std::fs;

use anyhow::{Result, ensure};
use forage_tests::testbed;

use crate::host::BusHost;

/// Set it to write the committed file anew.
const UPDATE: &str = "FORAGE_UPDATE_SNAPSHOTS";

#[test]
fn the_installed_file_is_current() -> Result<()> {
    let host = BusHost::shared()?;
    let path = "/org/firefly/Forage1";
    let argv = [
        "busctl",
        "--system",
        "introspect",
        "--xml-interface",
        "org.firefly.Forage1",
        path,
    ];
    let outcome = host.run("alice", &argv)?;
    ensure!(outcome.ok(), "{}", outcome.text());
    let file = testbed::repository().join("daemon/data/dbus/org.firefly.Forage1.xml");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, &outcome.stdout)?;
    }
    let committed = fs::read_to_string(&file)?;
    ensure!(
        committed == outcome.stdout,
        "{} is not what the daemon says; run the test with {UPDATE}=1 and review the change",
        file.display()
    );
    Ok(())
}

#[test]
fn nothing_else_is_exported() -> Result<()> {
    let host = BusHost::shared()?;
    let argv = [
        "busctl",
        "--system",
        "tree",
        "--list",
        "org.firefly.Forage1",
    ];
    let tree = host.run("root", &argv)?;
    let last = tree.stdout.lines().next_back().unwrap_or_default();
    ensure!(last == "/org/firefly/Forage1", "{}", tree.text());
    ensure!(
        !tree.stdout.contains("/org/firefly/Forage1/"),
        "{}",
        tree.text()
    );
    Ok(())
}
