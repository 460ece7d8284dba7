//! Two who store at once.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{USER, forget, shell, stored, tokens};
use crate::support::{Sandbox, beside_others};

const ROUNDS: u64 = 12;

#[test]
fn of_two_stores_at_once_one_wins_whole() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _tokens = tokens();
    shell(testbed, "store a")?;
    let sandbox = Sandbox::up(testbed, USER, "at-once", "claude", &[])?;
    for round in 0..ROUNDS {
        let before = sandbox.generation()?;
        shell(testbed, "store b & one=$!; store c & wait $one && wait $!")?;
        let after = sandbox.generation()?;
        ensure!(after == before + 2, "{round}: {before}, {after}");
        let (kept, seen) = (stored(testbed, USER)?, sandbox.letter()?);
        ensure!(kept == seen && "bc".contains(kept), "{kept}, but {seen}");
        shell(testbed, "store a")?;
    }
    forget(testbed)
}
