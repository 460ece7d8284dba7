//! A system from the store with a network: what the shim made before the boot is still there.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::{Config, system};
use crate::support::{Sandbox, alone};

#[test]
fn resolvers_and_addresses_outlast_the_activation() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = Config::borrow(testbed)?;
    let system = system(testbed)?;
    config.add("wired", &format!("system = {system:?}\nnetwork = \"full\""))?;
    let sandbox = Sandbox::up(testbed, "bob", "wired", "wired", &[])?;
    let linked = sandbox.exec_ok(&["readlink", "-f", "/etc/resolv.conf"])?;
    ensure!(linked.starts_with("/run/forage/net/"), "{linked}");
    let text = sandbox.exec_ok(&["cat", "/etc/resolv.conf"])?;
    ensure!(text.starts_with("# The resolvers of the host's"), "{text}");
    let devices = sandbox.exec_ok(&["ls", "/sys/class/net"])?;
    ensure!(devices.contains("forage0"), "{devices}");
    Ok(())
}
