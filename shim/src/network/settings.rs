//! The kernel's settings of the host's end of a sandbox's link.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn path(family: &str, interface: &str, name: &str) -> PathBuf {
    let conf = Path::new("/proc/sys/net").join(family).join("conf");
    conf.join(interface).join(name)
}

/// Tells whether an interface has IPv6; `default` stands for one that is still to be made.
pub fn has_v6(interface: &str) -> bool {
    let value = fs::read_to_string(path("ipv6", interface, "disable_ipv6"));
    value.is_ok_and(|value| value.trim() == "0")
}

/// Makes the host's end believe nothing it is told over the link, and answer for nobody else.
///
/// # Errors
/// What the kernel says.
pub fn apply(interface: &str) -> io::Result<()> {
    for (name, value) in [
        ("rp_filter", "1"),
        ("accept_redirects", "0"),
        ("send_redirects", "0"),
        ("accept_source_route", "0"),
        ("proxy_arp", "0"),
        ("arp_ignore", "2"),
        ("arp_announce", "2"),
        ("route_localnet", "0"),
    ] {
        fs::write(path("ipv4", interface, name), value)?;
    }
    if has_v6(interface) {
        for (name, value) in [
            ("accept_ra", "0"),
            ("accept_redirects", "0"),
            ("autoconf", "0"),
            ("proxy_ndp", "0"),
        ] {
            fs::write(path("ipv6", interface, name), value)?;
        }
    }
    Ok(())
}
