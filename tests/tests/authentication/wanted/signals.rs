//! Who listens hears of their own credentials, and of nobody else's.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{USER, forget};
use crate::listening::Signals;
use crate::probe::install_probe;
use crate::support::{Sandbox, alone, ctl_ok, store, token};

#[test]
fn owners_are_told_and_others_are_not() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    forget(testbed)?;
    let _probe = install_probe(testbed)?;
    ensure!(store(testbed, USER, &token('1'))?.ok());
    let _sandbox = Sandbox::up(testbed, USER, "told", "claude", &[])?;
    let mut owner = Signals::of(testbed, USER)?;
    let mut other = Signals::of(testbed, "bob")?;

    ensure!(store(testbed, USER, &token('2'))?.ok());
    owner.expect("rotated told token-store")?;
    ctl_ok(testbed, USER, &["auth", "revoke", "told"])?;
    owner.expect("revoked told 1")?;
    // Doing it again is no news, and what is withheld does not change.
    ctl_ok(testbed, USER, &["auth", "revoke", "told"])?;
    ensure!(store(testbed, USER, &token('3'))?.ok());
    ctl_ok(testbed, USER, &["auth", "refresh", "told"])?;
    owner.expect("rotated told token-store")?;
    ctl_ok(testbed, USER, &["claude", "token", "remove"])?;
    owner.expect("rotated told none")?;

    // What is told of bob's own sandbox is the first that bob hears.
    let _own = Sandbox::up(testbed, "bob", "bobs", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["auth", "revoke", "bobs"])?;
    other.expect("revoked bobs 1")?;
    forget(testbed)
}
