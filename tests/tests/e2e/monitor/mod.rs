//! What owners and operators see of sandboxes: limits, logs, states, the journal.

mod limits;
mod logs;
mod operator;
mod wait;

use std::time::Duration;

use anyhow::Result;
use forage_tests::testbed::wait_for;

use crate::support::Sandbox;

fn becomes(sandbox: &Sandbox, state: &str) -> Result<()> {
    wait_for(&format!("state {state}"), Duration::from_secs(20), || {
        Ok((sandbox.field("state")? == state).then_some(()))
    })
}
