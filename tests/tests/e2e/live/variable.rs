//! `delivery = "env"`: a process keeps what it was launched with, the next one has the new value.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{Table, bearer};
use crate::support::{beside_others, ctl_ok, store, token};

#[test]
fn a_token_in_a_variable_changes_at_the_next_launch() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let (first, second) = (token('1'), token('2'));
    ensure!(store(testbed, "carol", &first)?.ok());
    let mut table = Table::lay(testbed, "carol", "variable", "net")?;
    table.vendor.accept(&first)?;
    table.vendor.accept(&second)?;
    let mut agent = table.launch()?;
    table.uses(&mut agent, &bearer(&first))?;

    ensure!(store(testbed, "carol", &second)?.ok());
    let credential = table.credential()?;
    ensure!(
        credential["effect"] == "next-launch" && credential["generation"] == 2,
        "{credential}"
    );
    let status = ctl_ok(testbed, "carol", &["auth", "status", "variable"])?;
    ensure!(status.contains("next launch"), "{status}");
    table.uses(&mut agent, &bearer(&first))?;
    let mut next = table.launch()?;
    table.uses(&mut next, &bearer(&second))?;

    // Its vendor knows it no longer: the running process does not recover, a new one is fine.
    table.vendor.refuse(&first)?;
    let turn = agent.prompt("hi")?;
    ensure!(turn.failed && turn.text.contains("401"), "{turn:?}");
    let seen = table.seen()?;
    ensure!(seen == [(401, bearer(&first))], "{seen:?}");
    let mut next = table.launch()?;
    table.uses(&mut next, &bearer(&second))?;

    // What is taken away leaves a process that has it in its environment.
    let mut agent = table.launch()?;
    ctl_ok(testbed, "carol", &["auth", "revoke", "variable"])?;
    table.uses(&mut agent, &bearer(&second))?;
    let mut next = table.launch()?;
    table.is_logged_out(&mut next)?;
    ctl_ok(testbed, "carol", &["auth", "refresh", "variable"])?;
    let mut next = table.launch()?;
    table.uses(&mut next, &bearer(&second))?;
    ctl_ok(testbed, "carol", &["claude", "token", "remove"])?;
    Ok(())
}
