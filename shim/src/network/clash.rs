//! Whether something of the host's already uses a sandbox's addresses.

use std::net::IpAddr;
use std::str::FromStr;

use forage_api::{ErrorKind, Failure};
use serde::Deserialize;

use super::addresses::{Addresses, LENGTH4, LENGTH6};

/// A route, as `ip -json route` tells it.
#[derive(Debug, Deserialize)]
struct Route {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    dst: String,
    #[serde(default)]
    dev: Option<String>,
}

/// Checks the host's routes of one family, as `ip` printed them, against the sandbox's subnet.
///
/// # Errors
/// One leads to addresses of the subnet, or what `ip` printed is not understood.
pub fn check(routes: &[u8], at: &Addresses) -> Result<(), Failure> {
    let routes: Vec<Route> = match serde_json::from_slice(routes) {
        Ok(routes) => routes,
        // Some versions print nothing where there is no route.
        Err(_) if routes.trim_ascii().is_empty() => Vec::new(),
        Err(_) => {
            return Err(Failure::new(
                ErrorKind::SandboxFailed,
                "cannot read the host's routes: ip printed what is no JSON",
            ));
        }
    };
    match routes.iter().find(|route| clashes(route, at)) {
        None => Ok(()),
        Some(route) => Err(refusal(route, at)),
    }
}

fn clashes(route: &Route, at: &Addresses) -> bool {
    let device = route.dev.as_deref().unwrap_or_default();
    // What is not a way to anybody does not clash: the sandbox's own route is more precise.
    let way = matches!(
        route.kind.as_deref(),
        None | Some("unicast" | "local" | "broadcast" | "anycast" | "nat")
    );
    way && !device.starts_with("vf-") && prefix(&route.dst).is_some_and(|prefix| prefix.meets(at))
}

/// The block of addresses a route leads to.
struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    fn meets(&self, at: &Addresses) -> bool {
        // A route to everything, or to half of it as VPNs make them, is a default route.
        if self.length <= 1 {
            return false;
        }
        match self.address {
            IpAddr::V4(address) => {
                let bits = 32 - u32::from(self.length.min(LENGTH4));
                (address.to_bits() ^ at.subnet4.to_bits()) >> bits == 0
            }
            IpAddr::V6(address) => {
                let bits = 128 - u32::from(self.length.min(LENGTH6));
                (address.to_bits() ^ at.subnet6.to_bits()) >> bits == 0
            }
        }
    }
}

/// Reads `address[/length]`; `None` for `default` and what is no address.
fn prefix(text: &str) -> Option<Prefix> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(u8::from_str(length).ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(most);
    (length <= most).then_some(Prefix { address, length })
}

fn refusal(route: &Route, at: &Addresses) -> Failure {
    let (own, key) = if route.dst.contains(':') {
        (format!("{}/{LENGTH6}", at.subnet6), "addressRange6")
    } else {
        (format!("{}/{LENGTH4}", at.subnet4), "addressRange")
    };
    let device = route.dev.as_deref().map_or_else(
        || "no device".to_owned(),
        |device| format!("device {}", forage_api::ident::quoted(device)),
    );
    Failure::new(
        ErrorKind::SandboxFailed,
        format!(
            "the host has a route to {} ({device}), which has the sandbox's addresses {own} in it",
            route.dst
        ),
    )
    .hint(format!(
        "choose a range the host does not use: set {key} in /etc/firefly-forage/config.toml"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::config::{Range4, Range6};
    use forage_api::ident::{SandboxId, Slot};

    fn at() -> Addresses {
        let slot = Slot::try_from(3).unwrap();
        Addresses::of(SandboxId::new(1), slot, Range4::DEFAULT, Range6::DEFAULT).unwrap()
    }

    fn said(route: &str) -> Option<String> {
        let routes =
            format!(r#"[{{"dst":"default","gateway":"192.168.1.1","dev":"eth0"}},{route}]"#);
        let failure = check(routes.as_bytes(), &at()).err()?;
        Some(format!("{} {}", failure.message, failure.hint))
    }

    #[test]
    fn routes_that_clash_are_named() {
        for (route, expected) in [
            (
                r#"{"dst":"10.0.0.0/8","dev":"wg0"}"#,
                "10.0.0.0/8 (device \"wg0\")",
            ),
            (
                r#"{"dst":"10.181.192.0/18","dev":"br0"}"#,
                "10.181.192.12/30",
            ),
            (
                r#"{"dst":"10.181.192.12/30","dev":"br0"}"#,
                "addressRange in",
            ),
            (
                r#"{"type":"local","dst":"10.181.192.14","dev":"br0","table":"local"}"#,
                "10.181.192.14 (",
            ),
            (r#"{"dst":"10.181.192.13"}"#, "no device"),
            (r#"{"dst":"fd4e::/16","dev":"tun0"}"#, "addressRange6 in"),
            (
                r#"{"dst":"fd4e:91c6:2b7d::e","dev":"tun0"}"#,
                "fd4e:91c6:2b7d::c/126",
            ),
        ] {
            let said = said(route).unwrap();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn routes_that_do_not_clash() {
        for route in [
            r#"{"dst":"0.0.0.0/1","dev":"tun0"}"#,
            r#"{"dst":"::/0","dev":"tun0"}"#,
            r#"{"dst":"10.181.192.16/30","dev":"br0"}"#,
            r#"{"dst":"10.181.192.12/30","dev":"vf-00000002"}"#,
            r#"{"type":"unreachable","dst":"10.0.0.0/8"}"#,
            r#"{"type":"multicast","dst":"224.0.0.0/4","dev":"eth0"}"#,
            r#"{"dst":"192.168.0.0/16","dev":"eth0"}"#,
            r#"{"dst":"fe80::/64","dev":"eth0"}"#,
            r#"{"dst":"10.181.192.12/99","dev":"br0"}"#,
            r#"{"dst":"what","dev":"br0"}"#,
        ] {
            assert_eq!(said(route), None, "{route}");
        }
        assert!(check(b"", &at()).is_ok());
        assert!(check(b"[]", &at()).is_ok());
        assert!(check(b"{", &at()).is_err());
    }
}
