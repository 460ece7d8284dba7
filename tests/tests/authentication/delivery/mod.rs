//! What the shim delivers, how it follows secrets' files, and what an agent finds of it.

mod faults;
mod key;
mod sources;
mod ways_in;

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::store;

/// Whose tokens these tests store.
const USER: &str = "heidi";

/// Gives the user of these tests a token.
fn store_token(testbed: &Testbed, token: &str) -> Result<()> {
    let stored = store(testbed, USER, token)?;
    ensure!(stored.ok(), "{}", stored.text());
    Ok(())
}
