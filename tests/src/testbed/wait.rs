//! Waiting for what announces itself in no better way.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Looks again and again until `found` has something, for at most `timeout`. Where an event says
/// when to look (the journal, a unit's job, a pipe's end), wait for that instead.
pub fn wait_for<T>(
    what: &str,
    timeout: Duration,
    mut found: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(thing) = found()? {
            return Ok(thing);
        }
        if Instant::now() >= end {
            bail!("gave up waiting for {what} after {timeout:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
