//! Other firewalls on the host. What the sandbox's own rules let pass must pass these as well, since
//! one firewall's yes is not the other's. They are asked for it in their own words, for the sandbox's
//! interface alone, and it is taken back with the sandbox.

use std::collections::BTreeSet;

use forage_api::Failure;
use forage_api::config::HostPort;
use serde::Deserialize;

use super::addresses::Addresses;
use super::iptables::{FILTERS, Filter};
use super::tool::Tool;
use crate::sys::time::Deadline;

/// A line of `nft --json list chains`.
#[derive(Debug, Deserialize)]
struct Line {
    chain: Option<Chain>,
}

#[derive(Debug, Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    #[serde(default)]
    hook: Option<String>,
    #[serde(default)]
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    nftables: Vec<Line>,
}

/// The firewalls there are.
#[derive(Debug, Default)]
pub struct Firewalls {
    chains: Vec<Chain>,
}

impl Firewalls {
    /// Looks for them.
    ///
    /// # Errors
    /// `nft` does not tell.
    pub fn look(nft: &Tool) -> Result<Self, Failure> {
        let listed = nft.run_ok(
            "list the firewall's chains",
            &["--json", "list", "chains"],
            "",
            None,
        )?;
        Ok(Self::parse(&listed))
    }

    fn parse(listed: &[u8]) -> Self {
        let listing: Option<Listing> = serde_json::from_slice(listed).ok();
        let lines = listing.map(|listing| listing.nftables).unwrap_or_default();
        let chains = lines.into_iter().filter_map(|line| line.chain);
        Self {
            chains: chains
                .filter(|chain| !chain.table.starts_with("forage_"))
                .collect(),
        }
    }

    fn has_table(&self, family: &str, table: &str) -> bool {
        self.chains
            .iter()
            .any(|c| c.family == family && c.table == table)
    }

    /// Whether a family's table `filter` is the older tools': theirs have chains of these names alone.
    fn has_filter(&self, family: &str) -> bool {
        let mut hooks = self
            .chains
            .iter()
            .filter(|c| c.family == family && c.table == "filter")
            .filter_map(|c| Some((c.hook.as_deref()?, c.name.as_str())))
            .peekable();
        hooks.peek().is_some() && hooks.all(|(hook, name)| hook.to_ascii_uppercase() == name)
    }

    /// The packet filters of the older tools that are in use.
    fn filters(&self) -> impl Iterator<Item = &'static Filter> {
        let used = |filter: &&Filter| self.has_filter(filter.family) || filter.is_legacy();
        FILTERS.iter().filter(used)
    }

    /// Has them let pass what the sandbox's own rules let pass, and says where that cannot be done.
    pub fn let_pass(
        &self,
        vf: &str,
        at: &Addresses,
        ports: &[HostPort],
        deadline: Deadline,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        for filter in self.filters() {
            if let Err(failure) = filter.let_pass(vf, at, ports, deadline) {
                warnings.push(format!(
                    "{} may stop the sandbox's packets: {failure}",
                    filter.program
                ));
            }
        }
        if self.has_table("inet", "firewalld")
            && let Err(failure) = trust(vf, deadline)
        {
            warnings.push(format!(
                "firewalld may stop the sandbox's packets: {failure}"
            ));
        }
        warnings.extend(self.dropping(!ports.is_empty()));
        warnings
    }

    /// Tables that drop what nothing in them accepts, and that nobody else can be asked to open.
    fn dropping(&self, with_ports: bool) -> Vec<String> {
        let ours = |chain: &&Chain| {
            let old = ["ip", "ip6"].contains(&chain.family.as_str())
                && chain.table == "filter"
                && self.has_filter(&chain.family);
            let forward = chain.hook.as_deref() == Some("forward");
            let input = with_ports && chain.hook.as_deref() == Some("input");
            !old && chain.table != "firewalld"
                && (forward || input)
                && chain.policy.as_deref() == Some("drop")
        };
        let tables: BTreeSet<String> = self
            .chains
            .iter()
            .filter(ours)
            .map(|c| format!("{} {} {}", c.family, c.table, c.name))
            .collect();
        tables
            .into_iter()
            .map(|chain| {
                format!(
                    "the nftables chain {} drops by default; if the sandbox's packets are stopped, add to it: iifname \"vf-*\" accept, and oifname \"vf-*\" accept",
                    forage_api::ident::quoted(&chain)
                )
            })
            .collect()
    }
}

/// Takes back what the other firewalls were asked for. What one of them refuses is logged, and stops
/// nothing: it names an interface that is gone.
pub fn take_back(vf: &str, nft: &Tool, deadline: Deadline) {
    let firewalls = Firewalls::look(nft).unwrap_or_else(|failure| {
        tracing::warn!(FORAGE_EVENT = "network", "{failure}");
        Firewalls::default()
    });
    for filter in firewalls.filters() {
        if let Err(failure) = filter.take_back(vf, deadline) {
            tracing::warn!(FORAGE_EVENT = "network", "{failure}");
        }
    }
    if firewalls.has_table("inet", "firewalld") {
        // It forgets interfaces by itself when it is restarted, and then knows of none.
        firewalld("removeInterface", "ss", &["trusted", vf], deadline).ok();
    }
}

/// Has firewalld trust the interface: the sandbox's own rules are stricter than its. It forgets this
/// whenever it loads its rules anew.
fn trust(vf: &str, deadline: Deadline) -> Result<(), Failure> {
    let zone = firewalld("getZoneOfInterface", "s", &[vf], deadline)?;
    if zone.windows(9).any(|part| part == b"\"trusted\"") {
        return Ok(());
    }
    firewalld("changeZone", "ss", &["trusted", vf], deadline)?;
    Ok(())
}

/// Calls firewalld, if it runs; it is not started for this.
fn firewalld(
    method: &str,
    signature: &str,
    arguments: &[&str],
    deadline: Deadline,
) -> Result<Vec<u8>, Failure> {
    let mut all = vec![
        "--system",
        "--auto-start=no",
        "--timeout=5",
        "call",
        "org.fedoraproject.FirewallD1",
        "/org/fedoraproject/FirewallD1",
        "org.fedoraproject.FirewallD1.zone",
        method,
        signature,
    ];
    all.extend(arguments);
    let busctl = Tool::require("busctl", "systemd")?.by(deadline);
    busctl.run_ok("tell firewalld of the interface", &all, "", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = r#"{"nftables": [{"metainfo": {"version": "1.1.3"}},
        {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
        {"chain": {"family": "inet", "table": "forage_00000abc", "name": "forward", "handle": 1, "hook": "forward", "policy": "drop"}},
        {"chain": {"family": "inet", "table": "mine", "name": "fwd", "handle": 1, "hook": "forward", "policy": "drop"}},
        {"chain": {"family": "inet", "table": "mine", "name": "in", "handle": 1, "hook": "input", "policy": "drop"}},
        {"chain": {"family": "inet", "table": "mine", "name": "out", "handle": 1, "hook": "output", "policy": "drop"}},
        {"chain": {"family": "inet", "table": "mine", "name": "plain", "handle": 1}}]}"#;

    #[test]
    fn who_is_asked_and_who_is_only_named() {
        let found = Firewalls::parse(LISTED.as_bytes());
        assert!(found.has_table("ip", "filter") && !found.has_table("inet", "firewalld"));
        let named = found.dropping(false);
        assert!(
            named.len() == 1 && named[0].contains("inet mine fwd"),
            "{named:?}"
        );
        assert_eq!(found.dropping(true).len(), 2);
        assert!(Firewalls::parse(b"x").chains.is_empty());
    }

    #[test]
    fn a_table_of_somebodys_own_is_not_the_older_tools() {
        let found = Firewalls::parse(LISTED.as_bytes());
        assert!(found.has_filter("ip") && !found.has_filter("ip6"));
        let native = LISTED.replace("FORWARD", "forward");
        let found = Firewalls::parse(native.as_bytes());
        assert!(!found.has_filter("ip"));
        let named = found.dropping(false);
        assert!(named[1].contains("ip filter forward"), "{named:?}");
        // A chain nothing calls but other chains says nothing.
        let plain = LISTED.replace(r#""hook": "forward", "prio": 0, "#, "");
        assert!(!Firewalls::parse(plain.as_bytes()).has_filter("ip"));
    }
}
