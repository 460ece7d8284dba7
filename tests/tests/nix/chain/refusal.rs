//! A configuration the daemon would refuse fails the build.

use anyhow::{Result, ensure};

use super::hosts;
use crate::support::alone;

#[test]
fn what_the_daemon_refuses_is_not_built() -> Result<()> {
    let Some(testbed) = hosts::testbed("nix::what_the_daemon_refuses_is_not_built")? else {
        return Ok(());
    };
    let _alone = alone();
    let built = hosts::build(testbed, "refused")?;
    let text = built.text();
    ensure!(
        !built.ok() && text.contains("startTimeout: it must be from 1 to 600"),
        "{text}"
    );
    Ok(())
}
