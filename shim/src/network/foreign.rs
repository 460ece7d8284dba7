//! Other firewalls on the host. What the sandbox's own rules let pass must pass these as well, since
//! one firewall's yes is not the other's. They are asked for it in their own words, for the sandbox's
//! interface alone, and it is taken back with the sandbox.

use std::collections::BTreeSet;
use std::path::Path;

use forage_api::Failure;
use forage_api::config::{HostPort, Transport};
use serde::Deserialize;

use super::addresses::Addresses;
use super::tool::Tool;

/// The packet filters of the older tools, by family.
const FILTERS: [Filter; 2] = [
    Filter {
        family: "ip",
        program: "iptables",
        restore: "iptables-restore",
        legacy: "/proc/net/ip_tables_names",
    },
    Filter {
        family: "ip6",
        program: "ip6tables",
        restore: "ip6tables-restore",
        legacy: "/proc/net/ip6_tables_names",
    },
];

struct Filter {
    family: &'static str,
    program: &'static str,
    restore: &'static str,
    /// Where the kernel lists the tables of the oldest of them.
    legacy: &'static str,
}

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

    /// Has them let pass what the sandbox's own rules let pass, and says where that cannot be done.
    pub fn let_pass(&self, vf: &str, at: &Addresses, ports: &[HostPort]) -> Vec<String> {
        let mut warnings = Vec::new();
        for filter in &FILTERS {
            if filter.is_used(self)
                && let Err(failure) = filter.let_pass(vf, at, ports)
            {
                warnings.push(format!(
                    "{} may stop the sandbox's packets: {failure}",
                    filter.program
                ));
            }
        }
        if self.has_table("inet", "firewalld")
            && let Err(failure) = trust(vf)
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
            let old = ["ip", "ip6"].contains(&chain.family.as_str()) && chain.table == "filter";
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

impl Filter {
    fn is_used(&self, firewalls: &Firewalls) -> bool {
        let names = std::fs::read_to_string(Path::new(self.legacy)).unwrap_or_default();
        firewalls.has_table(self.family, "filter") || names.lines().any(|name| name == "filter")
    }

    fn let_pass(&self, vf: &str, at: &Addresses, ports: &[HostPort]) -> Result<(), Failure> {
        if !self.own_rules(vf)?.is_empty() {
            return Ok(());
        }
        let script = self.script(vf, at, ports);
        let arguments = ["--wait", "5", "--noflush"];
        Tool::require(self.restore, "iptables")?.run_ok(
            "let the sandbox's packets pass",
            &arguments,
            &script,
            None,
        )?;
        Ok(())
    }

    /// Rules at the beginning. The sandbox's own have decided already: they come before these.
    fn script(&self, vf: &str, at: &Addresses, ports: &[HostPort]) -> String {
        let gateway = match self.family {
            "ip" => at.gateway4().to_string(),
            _ => at.gateway6().to_string(),
        };
        let mut script =
            format!("*filter\n-I FORWARD 1 -i {vf} -j ACCEPT\n-I FORWARD 1 -o {vf} -j ACCEPT\n");
        for port in ports {
            let transport = match port.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            };
            script += &format!(
                "-I INPUT 1 -i {vf} -d {gateway} -p {transport} --dport {} -j ACCEPT\n",
                port.number
            );
        }
        script + "COMMIT\n"
    }

    /// What removes the rules there are for the interface.
    fn own_rules(&self, vf: &str) -> Result<String, Failure> {
        let program = Tool::require(self.program, "iptables")?;
        let rules = program.run_ok("list its rules", &["--wait", "5", "-S"], "", None)?;
        Ok(removals(&String::from_utf8_lossy(&rules), vf))
    }

    fn take_back(&self, vf: &str) -> Result<(), Failure> {
        // A table these tools cannot read has no rule that was put into it with them.
        let rules = self.own_rules(vf).unwrap_or_else(|failure| {
            tracing::info!("{failure}");
            String::new()
        });
        if rules.is_empty() {
            return Ok(());
        }
        let script = format!("*filter\n{rules}COMMIT\n");
        Tool::require(self.restore, "iptables")?.run_ok(
            "remove rules",
            &["--wait", "5", "--noflush"],
            &script,
            None,
        )?;
        Ok(())
    }
}

/// What removes every rule that names an interface, from a list of all.
fn removals(rules: &str, vf: &str) -> String {
    let own = |line: &&str| {
        let mut words = line.split_ascii_whitespace();
        words.any(|word| word == vf)
    };
    let removals = rules
        .lines()
        .filter_map(|line| line.strip_prefix("-A "))
        .filter(own)
        .map(|rule| format!("-D {rule}\n"));
    removals.collect()
}

/// Takes back what the other firewalls were asked for.
///
/// # Errors
/// One of them refuses.
pub fn take_back(vf: &str, nft: &Tool) -> Result<(), Failure> {
    let firewalls = Firewalls::look(nft)?;
    let mut result = Ok(());
    for filter in FILTERS.iter().filter(|filter| filter.is_used(&firewalls)) {
        result = result.and(filter.take_back(vf));
    }
    if firewalls.has_table("inet", "firewalld") {
        // It forgets interfaces by itself when it is restarted, and then knows of none.
        firewalld("removeInterface", "ss", &["trusted", vf]).ok();
    }
    result
}

/// Has firewalld trust the interface: the sandbox's own rules are stricter than its. It forgets this
/// whenever it loads its rules anew.
fn trust(vf: &str) -> Result<(), Failure> {
    let zone = firewalld("getZoneOfInterface", "s", &[vf])?;
    if zone.windows(9).any(|part| part == b"\"trusted\"") {
        return Ok(());
    }
    firewalld("changeZone", "ss", &["trusted", vf])?;
    Ok(())
}

/// Calls firewalld, if it runs; it is not started for this.
fn firewalld(method: &str, signature: &str, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
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
    Tool::require("busctl", "systemd")?.run_ok("tell firewalld of the interface", &all, "", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::config::{Range4, Range6};
    use forage_api::ident::{SandboxId, Slot};

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
    fn only_the_sandboxes_own_rules_are_removed() {
        let rules = "-P FORWARD DROP\n-N DOCKER\n-A FORWARD -o vf-00000abc -j ACCEPT\n\
            -A FORWARD -i vf-00000abcd -j ACCEPT\n-A DOCKER -i docker0 -j ACCEPT\n\
            -A INPUT -d 10.0.0.1/32 -i vf-00000abc -p tcp -m tcp --dport 8080 -j ACCEPT\n";
        assert_eq!(
            removals(rules, "vf-00000abc"),
            "-D FORWARD -o vf-00000abc -j ACCEPT\n\
             -D INPUT -d 10.0.0.1/32 -i vf-00000abc -p tcp -m tcp --dport 8080 -j ACCEPT\n"
        );
    }

    #[test]
    fn what_is_asked_for() {
        let slot = Slot::try_from(0).unwrap();
        let at = Addresses::of(SandboxId::new(1), slot, Range4::DEFAULT, Range6::DEFAULT).unwrap();
        let ports = ["udp/53".parse().unwrap()];
        assert_eq!(
            FILTERS[1].script("vf-00000001", &at, &ports),
            "*filter\n-I FORWARD 1 -i vf-00000001 -j ACCEPT\n-I FORWARD 1 -o vf-00000001 -j ACCEPT\n\
             -I INPUT 1 -i vf-00000001 -d fd4e:91c6:2b7d::1 -p udp --dport 53 -j ACCEPT\nCOMMIT\n"
        );
    }
}
