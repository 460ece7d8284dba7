//! What `systemctl status` of the daemon tells.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{DAEMON, Sandbox, alone, daemon};

const CONFIG: &str = "/etc/firefly-forage/config.toml";

fn tells(testbed: &Testbed, what: &dyn Fn(&str) -> bool) -> Result<()> {
    // It is said with each sign of life, every 15 s.
    wait_for("the daemon's status", Duration::from_secs(60), || {
        let show = ["systemctl", "show", "--value", "-p", "StatusText", DAEMON];
        let text = testbed.run_ok("root", &show)?;
        Ok(what(&text).then_some(()))
    })
}

#[test]
fn the_status_follows_the_sandboxes_and_the_configuration() -> Result<()> {
    const BAD: &str = "starts are refused: the configuration cannot be used";
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "counted", "claude-key", &[])?;
    tells(testbed, &|text| text.trim() == "1 sandbox, 1 running")?;
    // A unit's name does not tell whose sandbox it is.
    let show = ["systemctl", "show", "--value", "-p", "StatusText"];
    let told = testbed.run_ok("root", &[&show[..], &[&sandbox.unit()]].concat())?;
    ensure!(told.trim() == "counted of uid 1001, running", "{told}");
    let original = testbed.run_ok("root", &["cat", CONFIG])?;
    testbed.write_file(CONFIG, "root", "0644", b"nonsense = 1\n")?;
    let told = daemon(testbed, "reload").and_then(|()| tells(testbed, &|text| text.contains(BAD)));
    testbed.write_file(CONFIG, "root", "0644", original.as_bytes())?;
    daemon(testbed, "reload")?;
    told?;
    tells(testbed, &|text| !text.contains(BAD))?;
    sandbox.down()?;
    tells(testbed, &|text| text.trim() == "0 sandboxes, 0 running")
}
