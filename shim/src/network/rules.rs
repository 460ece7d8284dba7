//! What a sandbox's packets may do, as a script for `nft`: two tables of the sandbox's own.
//!
//! A packet enters the host under the sandbox's own address or not at all (`netdev`, which costs other
//! traffic nothing, and comes before everything else). Its connection is judged once, when it begins
//! (`inet`): before anybody may give it another destination, it must go to the gateway, or to what is
//! neither the host's, nor another sandbox's, nor local to a link. At the gateway only the open ports
//! answer. Nobody but the host begins a connection to the sandbox. A connection is begun, never taken up in
//! the middle: it would be that of a sandbox that had the addresses before, whose other end is still there.

use forage_api::config::{HostPort, Transport};
use forage_api::ident::SandboxId;

use super::addresses::{Addresses, interface};

/// The most connections a sandbox may have at a time, so that it cannot fill the host's table.
const MAX_CONNECTIONS: u32 = 16384;

/// The name of both tables.
pub fn table(id: SandboxId) -> String {
    format!("forage_{id}")
}

/// Destinations that are never the internet's: this host, local links, several hosts at once, and the
/// addresses clouds have chosen for the data of their machines.
const NOWHERE4: &str = "0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 100.100.100.200, 192.0.0.192, \
224.0.0.0/4, 240.0.0.0/4";
const NOWHERE6: &str = "::/8, fd00:ec2::/32, fd20:ce::254, fe80::/10, fec0::/10, ff00::/8";

/// What is not allowed is refused at once, so that no program waits for an answer. A reset reaches
/// also a program that is just about to connect, which other errors do not.
const REFUSE: &str = "chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }";

/// The rules of a sandbox. `with_v6` is false where it has no IPv6; then none passes.
pub fn rules(id: SandboxId, at: &Addresses, ports: &[HostPort], with_v6: bool) -> String {
    let name = table(id);
    let vf = interface(id);
    let (own4, gateway4, range4) = (at.inside4(), at.gateway4(), at.range4);
    let (own6, gateway6, range6) = (at.inside6(), at.gateway6(), at.range6);
    let mut host4 = String::new();
    let mut host6 = String::new();
    let mut published = String::new();
    for (transport, word) in [(Transport::Tcp, "tcp"), (Transport::Udp, "udp")] {
        let set = set_of(ports, transport);
        if !set.is_empty() {
            host4 += &format!("    ip daddr {gateway4} {word} dport {{ {set} }} accept\n");
            host6 += &format!("    ip6 daddr {gateway6} {word} dport {{ {set} }} accept\n");
            published +=
                &format!("    meta l4proto {word} ct original proto-dst {{ {set} }} accept\n");
        }
    }
    let (enter6, arrive6) = if with_v6 {
        (
            format!("    ip6 saddr {own6} accept\n"),
            format!(
                r#"    ip6 daddr {gateway6} goto counted
    ip6 daddr {{ {range6}, {NOWHERE6} }} counter goto refuse comment "forbidden"
"#
            ),
        )
    } else {
        host6.clear();
        (String::new(), String::new())
    };
    let published6 = if with_v6 {
        format!("    ct original ip6 daddr {gateway6} goto published\n")
    } else {
        String::new()
    };
    let masquerade6 = if with_v6 {
        format!("    ip6 saddr {own6} oifname != \"{vf}\" masquerade\n")
    } else {
        String::new()
    };
    format!(
        r#"table netdev {name} {{
  flags owner,persist
  chain enter {{
    type filter hook ingress device "{vf}" priority -500; policy drop;
    ip saddr {own4} accept
{enter6}    counter comment "spoofed"
  }}
}}
table inet {name} {{
  flags owner,persist
  {REFUSE}
  chain arrive {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != "{vf}" accept
    ct state established accept
    ct state invalid counter drop comment "invalid"
    ct state new tcp flags & (fin | syn | rst | ack) != syn counter goto refuse comment "unbegun"
    ip daddr {gateway4} goto counted
    ip daddr {{ {range4}, {NOWHERE4} }} counter goto refuse comment "forbidden"
    ip daddr 168.63.129.16 meta l4proto {{ tcp, udp }} th dport != 53 counter goto refuse comment "forbidden"
{arrive6}    fib daddr type {{ local, broadcast, anycast, multicast }} counter goto refuse comment "host"
    goto counted
  }}
  chain counted {{
    ct state new ct count over {MAX_CONNECTIONS} counter goto refuse comment "crowded"
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname != "{vf}" accept
    ct direction reply ct state established accept
    ct state related meta l4proto {{ icmp, icmpv6 }} accept
{host4}{host6}    counter goto refuse comment "closed"
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    oifname "{vf}" goto inward
    iifname "{vf}" goto outward
  }}
  chain inward {{
    ct direction reply ct state established accept
    ct state related meta l4proto {{ icmp, icmpv6 }} accept
    counter drop comment "unasked"
  }}
  chain outward {{
    ct state established accept
    tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    oifname "vf-*" counter goto refuse comment "forbidden"
    ct original ip daddr {gateway4} goto published
{published6}  }}
  chain published {{
{published}    counter goto refuse comment "closed"
  }}
  chain output {{
    type filter hook output priority -10; policy accept;
    oifname "{vf}" ct state new tcp flags & (fin | syn | rst | ack) != syn counter drop comment "unbegun"
  }}
  chain leave {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {own4} oifname != "{vf}" masquerade
{masquerade6}  }}
}}
"#
    )
}

fn set_of(ports: &[HostPort], transport: Transport) -> String {
    let mut numbers: Vec<u16> = ports
        .iter()
        .filter(|port| port.transport == transport)
        .map(|port| port.number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
    numbers.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::config::{Range4, Range6};
    use forage_api::ident::Slot;

    fn script(ports: &[&str], with_v6: bool) -> String {
        let id = SandboxId::new(0xabc);
        let slot = Slot::try_from(3).unwrap();
        let at = Addresses::of(id, slot, Range4::DEFAULT, Range6::DEFAULT).unwrap();
        let ports: Vec<HostPort> = ports.iter().map(|port| port.parse().unwrap()).collect();
        rules(id, &at, &ports, with_v6)
    }

    #[test]
    fn the_script_is_fixed() {
        insta::assert_snapshot!(script(&["8080", "udp/53", "tcp/80", "80"], true));
    }

    #[test]
    fn without_v6_nothing_speaks_of_it() {
        let script = script(&["8080"], false);
        assert!(!script.contains("ip6"), "{script}");
        assert!(!script.contains("fd4e"), "{script}");
    }
}
