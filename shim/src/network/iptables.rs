//! The packet filters of the older tools. They get a rule for the sandbox's interface where a packet
//! nothing else in them has decided about would be dropped, so that what they deny stays denied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use forage_api::Failure;
use forage_api::config::{HostPort, Transport};

use super::addresses::Addresses;
use super::tool::Tool;
use crate::sys::time::Deadline;

/// One for each family.
pub const FILTERS: [Filter; 2] = [
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

/// How they are called for changes: none waits for others for long.
const CHANGE: [&str; 3] = ["--wait", "5", "--noflush"];

/// A packet filter.
#[derive(Debug)]
pub struct Filter {
    /// The family, as nftables names it.
    pub family: &'static str,
    /// The program that shows it.
    pub program: &'static str,
    restore: &'static str,
    /// Where the kernel lists the tables of the oldest of them.
    legacy: &'static str,
}

impl Filter {
    /// Whether it is in use by its oldest form, which nftables does not show.
    pub fn is_legacy(&self) -> bool {
        let names = std::fs::read_to_string(Path::new(self.legacy)).unwrap_or_default();
        names.lines().any(|name| name == "filter")
    }

    /// Has it let pass what the sandbox's own rules let pass.
    ///
    /// # Errors
    /// It cannot be read or changed.
    pub fn let_pass(
        &self,
        vf: &str,
        at: &Addresses,
        ports: &[HostPort],
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let script = self.script(&self.rules(deadline)?, vf, at, ports);
        self.change("let the sandbox's packets pass", &script, deadline)
    }

    /// Removes what is in it for the interface.
    ///
    /// # Errors
    /// It cannot be read or changed.
    pub fn take_back(&self, vf: &str, deadline: Deadline) -> Result<(), Failure> {
        let removals = removals(&self.rules(deadline)?, vf);
        self.change("remove rules", &removals, deadline)
    }

    fn rules(&self, deadline: Deadline) -> Result<String, Failure> {
        let program = Tool::require(self.program, "iptables")?.by(deadline);
        let rules = program.run_ok("list its rules", &["--wait", "5", "-S"], "", None)?;
        Ok(String::from_utf8_lossy(&rules).into_owned())
    }

    fn change(&self, what: &str, script: &str, deadline: Deadline) -> Result<(), Failure> {
        if script.is_empty() {
            return Ok(());
        }
        let script = format!("*filter\n{script}COMMIT\n");
        let program = Tool::require(self.restore, "iptables")?.by(deadline);
        program.run_ok(what, &CHANGE, &script, None)?;
        Ok(())
    }

    /// What is missing. The sandbox's own rules have decided already: they come before these.
    fn script(&self, rules: &str, vf: &str, at: &Addresses, ports: &[HostPort]) -> String {
        let is_input = |rule: &&str| rule.starts_with("INPUT ");
        let mut script = String::new();
        if own(rules, vf).all(|rule| is_input(&rule)) {
            let place = match dropped_at(rules) {
                Some(Place::Before(chain, number)) => format!("-I {chain} {number}"),
                Some(Place::End) => "-A FORWARD".to_owned(),
                None => String::new(),
            };
            for direction in ["-i", "-o"].iter().filter(|_| !place.is_empty()) {
                script += &format!("{place} {direction} {vf} -j ACCEPT\n");
            }
        }
        if own(rules, vf).any(|rule| is_input(&rule)) {
            return script;
        }
        let gateway = match self.family {
            "ip" => at.gateway4().to_string(),
            _ => at.gateway6().to_string(),
        };
        // These are as narrow as what the template opens, and the administrator's words themselves.
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
        script
    }
}

/// The rules that name an interface, of a list of all.
fn own<'a>(rules: &'a str, vf: &str) -> impl Iterator<Item = &'a str> {
    rules
        .lines()
        .filter_map(|line| line.strip_prefix("-A "))
        .filter(move |rule| rule.split_ascii_whitespace().any(|word| word == vf))
}

/// What removes every rule that names an interface, from a list of all.
fn removals(rules: &str, vf: &str) -> String {
    own(rules, vf).map(|rule| format!("-D {rule}\n")).collect()
}

/// Where forwarded packets are dropped that no rule before has decided about.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// By this rule of a chain.
    Before(&'a str, usize),
    /// At the end of all rules.
    End,
}

fn dropped_at(rules: &str) -> Option<Place<'_>> {
    let mut chains: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in rules.lines().filter_map(|line| line.strip_prefix("-A ")) {
        if let Some((chain, rule)) = rule.split_once(' ') {
            chains.entry(chain).or_default().push(rule);
        }
    }
    let place = dropped_in(&chains, "FORWARD", &mut BTreeSet::new());
    let by_policy = rules.lines().any(|line| line == "-P FORWARD DROP");
    place.or(by_policy.then_some(Place::End))
}

/// The rule of a chain, or of one it always goes to, that drops whatever comes to it. Each chain is
/// looked through once.
fn dropped_in<'a>(
    chains: &BTreeMap<&str, Vec<&'a str>>,
    chain: &'a str,
    seen: &mut BTreeSet<&'a str>,
) -> Option<Place<'a>> {
    /// No more chains than this are gone into.
    const MAX_DEPTH: usize = 64;
    if seen.len() >= MAX_DEPTH || !seen.insert(chain) {
        return None;
    }
    for (rule, number) in chains.get(chain)?.iter().zip(1..) {
        match always(rule) {
            Some("DROP" | "REJECT") => return Some(Place::Before(chain, number)),
            Some("ACCEPT" | "RETURN") => return None,
            Some(target) => match dropped_in(chains, target, seen) {
                // A chain that does nothing else: the way into it is the rule.
                Some(Place::Before(inner, 1)) if inner == target => {
                    return Some(Place::Before(chain, number));
                }
                None => {}
                place => return place,
            },
            None => {}
        }
    }
    None
}

/// Where a rule without a condition sends every packet; a comment is none.
fn always(rule: &str) -> Option<&str> {
    let rule = match rule.strip_prefix("-m comment --comment ") {
        None => rule,
        Some(rest) => match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once("\" ")?.1,
            None => rest.split_once(' ')?.1,
        },
    };
    let target = rule
        .strip_prefix("-j ")
        .or_else(|| rule.strip_prefix("-g "));
    target?.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::config::{Range4, Range6};
    use forage_api::ident::{SandboxId, Slot};

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
    fn where_the_rest_is_dropped() {
        for (rules, place) in [
            ("", None),
            ("-P FORWARD ACCEPT\n-A FORWARD -i eth0 -j DROP", None),
            // Docker.
            (
                "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n\
                 -A DOCKER-USER -s 10.0.0.0/8 -d 192.0.2.1/32 -j DROP\n-A DOCKER-USER -j RETURN\n\
                 -A DOCKER-FORWARD -j DOCKER-CT\n-A DOCKER-FORWARD -i docker0 -j ACCEPT\n\
                 -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                Some(Place::End),
            ),
            // A final refusal, whatever the policy.
            (
                "-P FORWARD ACCEPT\n-A FORWARD -d 192.0.2.1/32 -j DROP\n\
                 -A FORWARD -m comment --comment \"the rest\" -j REJECT --reject-with icmp-host-prohibited",
                Some(Place::Before("FORWARD", 2)),
            ),
            // ufw, told to refuse: a chain that does nothing else.
            (
                "-P FORWARD DROP\n-A FORWARD -j ufw-before-forward\n-A FORWARD -j ufw-reject-forward\n\
                 -A ufw-before-forward -p icmp -j ACCEPT\n-A ufw-reject-forward -j REJECT",
                Some(Place::Before("FORWARD", 2)),
            ),
            // A chain with refusals of its own before.
            (
                "-P FORWARD ACCEPT\n-A FORWARD -g mine\n-A mine -d 192.0.2.1/32 -j DROP\n\
                 -A mine -m comment --comment rest -j DROP",
                Some(Place::Before("mine", 2)),
            ),
            ("-A FORWARD -j ACCEPT\n-A FORWARD -j DROP", None),
            ("-A FORWARD -j FORWARD", None),
            (
                "-A FORWARD\n-A\n-A FORWARD -j\n-A FORWARD -m comment --comment \"x",
                None,
            ),
        ] {
            assert_eq!(dropped_at(rules), place, "{rules}");
        }
    }

    #[test]
    fn what_is_asked_for() {
        const VF: &str = "vf-00000001";
        let slot = Slot::try_from(0).unwrap();
        let at = Addresses::of(SandboxId::new(1), slot, Range4::DEFAULT, Range6::DEFAULT).unwrap();
        let ports = ["udp/53".parse().unwrap()];
        let script = |rules: &str, ports| FILTERS[1].script(rules, VF, &at, ports);
        let forward = "-A FORWARD -i vf-00000001 -j ACCEPT\n-A FORWARD -o vf-00000001 -j ACCEPT\n";
        let input = "-I INPUT 1 -i vf-00000001 -d fd4e:91c6:2b7d::1 -p udp --dport 53 -j ACCEPT\n";
        let policy = "-P FORWARD DROP\n";
        assert_eq!(script(policy, &ports), format!("{forward}{input}"));
        assert_eq!(script("-P FORWARD ACCEPT\n", &[]), "");
        assert_eq!(
            script("-A FORWARD -j DROP\n", &[]),
            "-I FORWARD 1 -i vf-00000001 -j ACCEPT\n-I FORWARD 1 -o vf-00000001 -j ACCEPT\n"
        );
        // What is there is not asked for again.
        assert_eq!(script(&format!("{policy}{forward}"), &ports), input);
        let input = input.replace("-I INPUT 1", "-A INPUT");
        assert_eq!(script(&format!("{policy}{input}"), &ports), forward);
        assert_eq!(script(&format!("{policy}{forward}{input}"), &ports), "");
    }
}
