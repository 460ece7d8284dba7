//! What a sandbox's network is made from: ranges of addresses, and ports of the host.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Which network a sandbox has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A loopback device, nothing else.
    #[default]
    None,
    /// What the host reaches, but for the host itself and other sandboxes.
    Full,
}

impl Network {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Full => "full",
        }
    }
}

/// Why a text is not a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// Of IPv4.
    #[error(
        "not valid, expected a range of private IPv4 addresses (10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16) of at least /30, beginning at its first address, such as 10.181.192.0/18"
    )]
    V4,
    /// Of IPv6.
    #[error(
        "not valid, expected a range of unique local IPv6 addresses (fd00::/8) from /16 to /126, beginning at its first address, such as fd4e:91c6:2b7d::/64"
    )]
    V6,
}

/// A range of private IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Range4 {
    first: Ipv4Addr,
    length: u8,
}

/// A range of unique local IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Range6 {
    first: Ipv6Addr,
    length: u8,
}

impl Range4 {
    /// What is used unless the configuration says otherwise.
    pub const DEFAULT: Self = Self {
        first: Ipv4Addr::new(10, 181, 192, 0),
        length: 18,
    };

    /// The first address of the `index`-th subnet of four addresses, if the range reaches that far.
    pub fn subnet(self, index: u32) -> Option<Ipv4Addr> {
        let offset = index.checked_mul(4)?;
        let within = u64::from(offset) < 1 << (32 - self.length);
        within.then(|| Ipv4Addr::from_bits(self.first.to_bits() | offset))
    }
}

impl Range6 {
    /// What is used unless the configuration says otherwise.
    pub const DEFAULT: Self = Self {
        first: Ipv6Addr::new(0xfd4e, 0x91c6, 0x2b7d, 0, 0, 0, 0, 0),
        length: 64,
    };

    /// The first address of the `index`-th subnet of four addresses, if the range reaches that far.
    pub fn subnet(self, index: u32) -> Option<Ipv6Addr> {
        let offset = u128::from(index) * 4;
        let within = offset < 1 << (128 - self.length);
        within.then(|| Ipv6Addr::from_bits(self.first.to_bits() | offset))
    }
}

impl FromStr for Range4 {
    type Err = InvalidRange;
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (first, length) = split::<Ipv4Addr>(text).ok_or(InvalidRange::V4)?;
        // The ranges that are private: first address and least length.
        let private = [
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 16, 0, 0), 12),
            (Ipv4Addr::new(192, 168, 0, 0), 16),
        ];
        let inside = private.iter().any(|(block, least)| {
            length >= *least && (first.to_bits() ^ block.to_bits()) >> (32 - least) == 0
        });
        let aligned = length <= 30 && first.to_bits().trailing_zeros() >= u32::from(32 - length);
        (inside && aligned)
            .then_some(Self { first, length })
            .ok_or(InvalidRange::V4)
    }
}

impl FromStr for Range6 {
    type Err = InvalidRange;
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (first, length) = split::<Ipv6Addr>(text).ok_or(InvalidRange::V6)?;
        let local = first.segments()[0] >> 8 == 0xfd;
        let aligned = (16..=126).contains(&length)
            && first.to_bits().trailing_zeros() >= u32::from(128 - length);
        (local && aligned)
            .then_some(Self { first, length })
            .ok_or(InvalidRange::V6)
    }
}

fn split<A: FromStr>(text: &str) -> Option<(A, u8)> {
    let (first, length) = text.split_once('/')?;
    let digits = length.bytes().all(|c| c.is_ascii_digit()) && !length.starts_with('0');
    digits
        .then(|| Some((first.parse().ok()?, length.parse().ok()?)))
        .flatten()
}

impl TryFrom<String> for Range4 {
    type Error = InvalidRange;
    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl TryFrom<String> for Range6 {
    type Error = InvalidRange;
    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl fmt::Display for Range4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl fmt::Display for Range6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

/// What carries a port's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the host that a sandbox may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "WrittenPort")]
pub struct HostPort {
    /// What carries it.
    pub transport: Transport,
    /// Its number, not 0.
    pub number: u16,
}

/// A port as it is written: a number, or a text with the transport.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenPort {
    Number(i64),
    Text(String),
}

/// Why something is not a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid, expected a port, such as 8080, \"tcp/8080\" or \"udp/53\"")]
pub struct InvalidPort;

impl TryFrom<WrittenPort> for HostPort {
    type Error = InvalidPort;
    fn try_from(written: WrittenPort) -> Result<Self, InvalidPort> {
        match written {
            WrittenPort::Number(number) => {
                let number = u16::try_from(number).ok().filter(|&number| number > 0);
                number
                    .map(|number| Self {
                        transport: Transport::Tcp,
                        number,
                    })
                    .ok_or(InvalidPort)
            }
            WrittenPort::Text(text) => text.parse(),
        }
    }
}

impl FromStr for HostPort {
    type Err = InvalidPort;
    fn from_str(text: &str) -> Result<Self, InvalidPort> {
        let (transport, number) = match text.split_once('/') {
            Some(("tcp", number)) => (Transport::Tcp, number),
            Some(("udp", number)) => (Transport::Udp, number),
            Some(_) => return Err(InvalidPort),
            None => (Transport::Tcp, text),
        };
        let digits = number.bytes().all(|c| c.is_ascii_digit()) && !number.starts_with('0');
        let number = number.parse().ok().filter(|_| digits);
        number
            .map(|number| Self { transport, number })
            .ok_or(InvalidPort)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{transport}/{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Slot;

    #[test]
    fn ranges_are_private_and_begin_at_their_first_address() {
        for good in [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.7.0/24",
            "10.1.2.4/30",
        ] {
            assert_eq!(good.parse::<Range4>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/08",
            "10.0.0.0/7",
            "10.0.0.0/31",
            "10.0.0.1/24",
            "172.0.0.0/8",
            "172.16.0.0/11",
            "172.32.0.0/16",
            "192.168.0.0/15",
            "8.8.8.0/24",
            "169.254.0.0/16",
            "127.0.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/ 8",
            "fd00::/64",
            "0.0.0.0/0",
        ] {
            assert_eq!(bad.parse::<Range4>(), Err(InvalidRange::V4), "{bad}");
        }
        for good in ["fd00::/64", "fdff:1::/32", "fd00::4/126"] {
            assert_eq!(good.parse::<Range6>().unwrap().to_string(), good);
        }
        for bad in [
            "fd00::/8",
            "fd00::/127",
            "fd00::1/64",
            "fc00::/64",
            "fe80::/64",
            "2001:db8::/64",
            "::1/128",
            "fd00::",
            "10.0.0.0/8",
            "fd00::/64 ",
            "fd00::%1/64",
        ] {
            assert_eq!(bad.parse::<Range6>(), Err(InvalidRange::V6), "{bad}");
        }
        assert_eq!(Range4::DEFAULT.to_string().parse(), Ok(Range4::DEFAULT));
        assert_eq!(Range6::DEFAULT.to_string().parse(), Ok(Range6::DEFAULT));
    }

    #[test]
    fn every_slot_has_a_subnet_of_the_default_ranges() {
        assert!(Range4::DEFAULT.subnet(Slot::COUNT - 1).is_some());
        assert!(Range6::DEFAULT.subnet(Slot::COUNT - 1).is_some());
        assert_eq!(Range4::DEFAULT.subnet(4096), None);
        assert_eq!(Range4::DEFAULT.subnet(u32::MAX), None);
        let small: Range4 = "192.168.7.0/29".parse().unwrap();
        assert_eq!(small.subnet(1), Some(Ipv4Addr::new(192, 168, 7, 4)));
        assert_eq!(small.subnet(2), None);
        let whole: Range4 = "10.0.0.0/8".parse().unwrap();
        assert_eq!(whole.subnet(4096), Some(Ipv4Addr::new(10, 0, 64, 0)));
    }

    #[test]
    fn ports() {
        for (text, expected) in [
            ("8080", "tcp/8080"),
            ("tcp/1", "tcp/1"),
            ("udp/65535", "udp/65535"),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), expected);
        }
        for bad in [
            "", "0", "65536", "-1", "+1", "01", "tcp/", "tcp/0", "sctp/1", "tcp/1/2", "1-2", "http",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
