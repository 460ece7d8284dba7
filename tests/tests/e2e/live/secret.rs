//! Secrets' files that change under a process that runs.

use anyhow::Result;
use forage_tests::testbed::Testbed;

use super::{Table, bearer};
use crate::support::{beside_others, token};

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
    table.uses(&mut agent, &bearer(&second))
}
