//! The shipped bus policy.

use anyhow::{Result, ensure};
use forage_tests::private_bus::PrivateBus;

const BUS: [&str; 3] = [
    "org.freedesktop.DBus",
    "/org/freedesktop/DBus",
    "org.freedesktop.DBus",
];

fn request_name(bus: &PrivateBus, user: &str) -> Result<Result<String, String>> {
    let [destination, path, interface] = BUS;
    let name = "org.firefly.Forage1";
    bus.call(
        user,
        &[destination, path, interface, "RequestName", "su", name, "4"],
    )
}

#[test]
fn only_foraged_owns_the_name() -> Result<()> {
    let bus = PrivateBus::start()?;
    let owner = request_name(&bus, "foraged")?;
    ensure!(owner.as_deref() == Ok("u 1"), "foraged: {owner:?}");
    for user in ["root", "alice", "mallory", "nobody"] {
        let answer = request_name(&bus, user)?;
        let denied = answer.as_ref().is_err_and(|error| error.contains("denied"));
        ensure!(denied, "{user}: {answer:?}");
    }
    Ok(())
}
