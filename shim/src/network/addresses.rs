//! A sandbox's addresses: four of each family by its slot, of which the second is the host's end and
//! the third the sandbox's. Both ends know each other's hardware address beforehand, so that nothing
//! has to be asked, or can be answered falsely, over the link.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use forage_api::config::{Range4, Range6};
use forage_api::ident::{SandboxId, Slot};
use forage_api::{ErrorKind, Failure};

/// The name of a sandbox's interface inside. Nothing that configures interfaces by itself (networkd,
/// ifupdown, NetworkManager) has a default for a name like this.
pub const INSIDE: &str = "forage0";

/// How many bits of an IPv4 address name the sandbox's subnet.
pub const LENGTH4: u8 = 30;
/// How many bits of an IPv6 address name the sandbox's subnet.
pub const LENGTH6: u8 = 126;

/// The name of a sandbox's interface on the host.
pub fn interface(id: SandboxId) -> String {
    format!("vf-{id}")
}

/// The addresses of one sandbox, and the ranges it shares with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The first address of the IPv4 subnet.
    pub subnet4: Ipv4Addr,
    /// The first address of the IPv6 subnet.
    pub subnet6: Ipv6Addr,
    /// Every sandbox's IPv4 addresses.
    pub range4: Range4,
    /// Every sandbox's IPv6 addresses.
    pub range6: Range6,
    id: SandboxId,
}

impl Addresses {
    /// The addresses of a sandbox.
    ///
    /// # Errors
    /// The ranges do not reach as far as its slot.
    pub fn of(id: SandboxId, slot: Slot, range4: Range4, range6: Range6) -> Result<Self, Failure> {
        let full = |key: &str, range: &dyn fmt::Display| {
            Failure::new(
                ErrorKind::LimitReached,
                format!("{key} ({range}) has no addresses for as many sandboxes"),
            )
            .hint(format!(
                "remove a sandbox, or give {key} in the configuration a larger range"
            ))
        };
        let index = slot.into();
        Ok(Self {
            subnet4: range4
                .subnet(index)
                .ok_or_else(|| full("addressRange", &range4))?,
            subnet6: range6
                .subnet(index)
                .ok_or_else(|| full("addressRange6", &range6))?,
            range4,
            range6,
            id,
        })
    }

    /// The host's end.
    pub fn gateway4(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet4.to_bits() | 1)
    }

    /// The sandbox's end.
    pub fn inside4(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet4.to_bits() | 2)
    }

    /// The host's end.
    pub fn gateway6(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.subnet6.to_bits() | 1)
    }

    /// The sandbox's end.
    pub fn inside6(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.subnet6.to_bits() | 2)
    }

    /// The hardware address of the host's end.
    pub fn gateway_mac(&self) -> Mac {
        Mac::new(0xf0, self.id)
    }

    /// The hardware address of the sandbox's end.
    pub fn inside_mac(&self) -> Mac {
        Mac::new(0xf1, self.id)
    }
}

/// A hardware address of ours: locally administered, with the sandbox's id in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl Mac {
    fn new(end: u8, id: SandboxId) -> Self {
        let [a, b, c, d] = id.bits().to_be_bytes();
        Self([0x02, end, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn of(slot: u32, range4: &str, range6: &str) -> Result<Addresses, Failure> {
        let slot = Slot::try_from(slot).unwrap();
        let (range4, range6) = (range4.parse().unwrap(), range6.parse().unwrap());
        Addresses::of(SandboxId::new(0xabc), slot, range4, range6)
    }

    #[test]
    fn no_two_slots_share_an_address() {
        let mut seen = BTreeSet::new();
        for slot in Slot::all() {
            let id = SandboxId::new(u32::from(slot));
            let own = Addresses::of(id, slot, Range4::DEFAULT, Range6::DEFAULT).unwrap();
            for address in [own.gateway4(), own.inside4()] {
                assert!(seen.insert(u128::from(address.to_bits())));
                assert_eq!(address.to_bits() & !3, own.subnet4.to_bits());
                assert!(address.is_private());
            }
            for address in [own.gateway6(), own.inside6()] {
                assert!(seen.insert(address.to_bits()));
                assert_eq!(address.to_bits() & !3, own.subnet6.to_bits());
            }
        }
    }

    #[test]
    fn the_ends_of_a_subnet() {
        let own = of(1, "192.168.7.0/29", "fd00::/64").unwrap();
        assert_eq!(own.gateway4().to_string(), "192.168.7.5");
        assert_eq!(own.inside4().to_string(), "192.168.7.6");
        assert_eq!(own.gateway6().to_string(), "fd00::5");
        assert_eq!(own.inside6().to_string(), "fd00::6");
        assert_eq!(own.gateway_mac().to_string(), "02:f0:00:00:0a:bc");
        assert_eq!(own.inside_mac().to_string(), "02:f1:00:00:0a:bc");
        assert!(interface(SandboxId::new(u32::MAX)).len() < 16);
    }

    #[test]
    fn a_range_that_is_too_small() {
        for (range4, range6, key) in [
            ("192.168.7.0/29", "fd00::/64", "addressRange ("),
            ("10.0.0.0/8", "fd00::/125", "addressRange6 ("),
        ] {
            let failure = of(2, range4, range6).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::LimitReached);
            assert!(failure.message.starts_with(key), "{}", failure.message);
        }
    }
}
