//! The two ends of a sandbox's link, as `ip` is told to make them.

use std::fmt::Write as _;

use super::addresses::{Addresses, INSIDE, LENGTH4, LENGTH6};

/// Commands for the host's end. Each end's neighbour is told, never asked: the host sends no query
/// into the sandbox, and needs no answer from it.
pub fn outside(at: &Addresses, interface: &str, with_v6: bool) -> String {
    let mut script = format!(
        "link set dev {interface} addrgenmode none address {mac}\n\
         address add {gateway}/{LENGTH4} dev {interface}\n\
         neighbor replace {inside} lladdr {inside_mac} nud permanent dev {interface}\n",
        mac = at.gateway_mac(),
        gateway = at.gateway4(),
        inside = at.inside4(),
        inside_mac = at.inside_mac(),
    );
    if with_v6 {
        write!(
            script,
            "address add {gateway}/{LENGTH6} dev {interface} nodad\n\
             neighbor replace {inside} lladdr {inside_mac} nud permanent dev {interface}\n",
            gateway = at.gateway6(),
            inside = at.inside6(),
            inside_mac = at.inside_mac(),
        )
        .ok();
    }
    script.push_str(&format!("link set dev {interface} up\n"));
    script
}

/// Commands for the sandbox's end, to be run in its network namespace.
pub fn inside(at: &Addresses, with_v6: bool) -> String {
    let mut script = format!(
        "link set dev {INSIDE} addrgenmode none address {mac}\n\
         address add {inside}/{LENGTH4} dev {INSIDE}\n\
         neighbor replace {gateway} lladdr {gateway_mac} nud permanent dev {INSIDE}\n",
        mac = at.inside_mac(),
        inside = at.inside4(),
        gateway = at.gateway4(),
        gateway_mac = at.gateway_mac(),
    );
    if with_v6 {
        write!(
            script,
            "address add {inside}/{LENGTH6} dev {INSIDE} nodad\n\
             neighbor replace {gateway} lladdr {gateway_mac} nud permanent dev {INSIDE}\n",
            inside = at.inside6(),
            gateway = at.gateway6(),
            gateway_mac = at.gateway_mac(),
        )
        .ok();
    }
    script.push_str(&format!("link set dev {INSIDE} up\n"));
    script.push_str(&format!("route add default via {}\n", at.gateway4()));
    if with_v6 {
        script.push_str(&format!("route add default via {}\n", at.gateway6()));
    }
    script
}
