//! Secrets' files that change under a process that runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::{HELLO, Table, bearer, said};
use crate::support::{beside_others, ctl_ok, token};

const KEY: &str = "/etc/forage-secrets/live-key";
const TOKEN: &str = "/etc/forage-secrets/live-token";

/// Replaces a secret's file as sops-nix and others do.
fn rotate(testbed: &Testbed, path: &str, value: &str) -> Result<()> {
    let fresh = format!("{path}.new");
    testbed.write_file(&fresh, "root", "0400", value.as_bytes())?;
    testbed.run_ok("root", &["mv", &fresh, path])?;
    Ok(())
}

#[test]
fn a_running_process_follows_a_token_in_a_secrets_file() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let [first, second] = ['5', '6'].map(token);
    rotate(testbed, TOKEN, &first)?;
    let mut table = Table::lay(testbed, "bob", "live-token", "live-token")?;
    table.vendor.accept(&first)?;
    table.vendor.accept(&second)?;
    let mut agent = table.launch()?;
    table.uses(&mut agent, &bearer(&first))?;
    rotate(testbed, TOKEN, &second)?;
    table.reaches(2)?;
    table.uses(&mut agent, &bearer(&second))?;

    // A file that changes after a revocation does not undo it.
    ctl_ok(testbed, "bob", &["auth", "revoke", "live-token"])?;
    table.is_logged_out(&mut agent)?;
    rotate(testbed, TOKEN, &first)?;
    table.is_logged_out(&mut agent)?;
    ctl_ok(testbed, "bob", &["auth", "refresh", "live-token"])?;
    table.uses(&mut agent, &bearer(&first))
}

#[test]
fn a_running_process_follows_an_api_key() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let keys = ["1", "2", "3"].map(|number| format!("sk-ant-api03-live-{number}"));
    let [first, second, third] = &keys;
    rotate(testbed, KEY, first)?;
    let mut table = Table::lay(testbed, "bob", "live-key", "live-key")?;
    for key in &keys {
        table.vendor.accept(key)?;
    }
    let mut agent = table.launch()?;
    table.uses(&mut agent, &both(first))?;

    // It asks for its key again after a while.
    rotate(testbed, KEY, second)?;
    table.reaches(2)?;
    wait_for("the second key", Duration::from_secs(30), || {
        let turn = agent.prompt("hi")?;
        ensure!(turn == said(HELLO), "{turn:?}");
        let seen = table.seen()?;
        Ok((seen == [(200, both(second))]).then_some(()))
    })?;
    // It does so at once when its vendor refuses it.
    rotate(testbed, KEY, third)?;
    table.reaches(3)?;
    table.vendor.refuse(second)?;
    let turn = agent.prompt("hi")?;
    ensure!(turn == said(HELLO), "{turn:?}");
    let seen = table.seen()?;
    ensure!(seen.last() == Some(&(200, both(third))), "{seen:?}");

    // What it asks after a revocation is no key, and it gets over that when it may have one again.
    ctl_ok(testbed, "bob", &["auth", "revoke", "live-key"])?;
    wait_for("the revocation", Duration::from_secs(30), || {
        agent.ask("hi")?;
        let asked = table.vendor.next_asked()?;
        if asked.status == 200 {
            ensure!(asked.credential == both(third), "{asked:?}");
            agent.answer()?;
            return Ok(None);
        }
        ensure!(!asked.credential.contains("live"), "{asked:?}");
        Ok(Some(()))
    })?;
    ctl_ok(testbed, "bob", &["auth", "refresh", "live-key"])?;
    let turn = agent.answer()?;
    ensure!(turn == said(HELLO), "{turn:?}");
    let seen = table.seen()?;
    ensure!(seen.last() == Some(&(200, both(third))), "{seen:?}");
    agent.is_the_same()
}

/// A key is sent in both headers.
fn both(key: &str) -> String {
    format!("Bearer {key} {key}")
}
