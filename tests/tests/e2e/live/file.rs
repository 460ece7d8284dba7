//! `delivery = "file"`: a process that runs follows every change.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{HELLO, Table, bearer, said};
use crate::support::{beside_others, ctl_ok, store, token};

#[test]
fn a_running_process_follows_the_stored_token() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let [first, second, third, fourth] = ['1', '2', '3', '4'].map(token);
    ensure!(store(testbed, "dave", &first)?.ok());
    let mut table = Table::lay(testbed, "dave", "file", "live")?;
    for token in [&first, &second, &fourth] {
        table.vendor.accept(token)?;
    }
    let mut agent = table.launch()?;
    table.uses(&mut agent, &bearer(&first))?;

    ensure!(store(testbed, "dave", &second)?.ok());
    let credential = table.credential()?;
    ensure!(
        credential["effect"] == "live" && credential["generation"] == 2,
        "{credential}"
    );
    table.uses(&mut agent, &bearer(&second))?;

    // The vendor refuses it, and its successor comes while the agent tries again.
    table.vendor.refuse(&second)?;
    table.vendor.accept(&third)?;
    agent.ask("hi")?;
    let asked = table.vendor.next_asked()?;
    ensure!(
        (asked.status, &asked.credential) == (401, &bearer(&second)),
        "{asked:?}"
    );
    ensure!(store(testbed, "dave", &third)?.ok());
    let turn = agent.answer()?;
    ensure!(turn == said(HELLO), "{turn:?}");
    let seen = table.seen()?;
    ensure!(seen.last() == Some(&(200, bearer(&third))), "{seen:?}");
    agent.is_the_same()?;

    // What is stored after a revocation does not undo it.
    ctl_ok(testbed, "dave", &["auth", "revoke", "file"])?;
    table.is_logged_out(&mut agent)?;
    let stored = store(testbed, "dave", &fourth)?;
    ensure!(
        stored.ok() && stored.stderr.contains("file is revoked"),
        "{}",
        stored.text()
    );
    table.is_logged_out(&mut agent)?;
    ctl_ok(testbed, "dave", &["auth", "refresh", "file"])?;
    table.uses(&mut agent, &bearer(&fourth))?;

    ctl_ok(testbed, "dave", &["claude", "token", "remove"])?;
    table.is_logged_out(&mut agent)
}
