//! Hosts of several kinds, what they keep, and what is left on them.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::world::{HOST, WEB, WEB6, make, url};
use crate::support::{Sandbox, alone, ctl};

/// Undoes something however a test ends.
struct Undo(&'static Testbed, &'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        if let Err(error) = self.0.run_ok("root", &["sh", "-c", self.1]) {
            eprintln!("not put back: {error:#}");
        }
    }
}

/// What Docker and NixOS put into the packet filter: whatever nothing accepts is dropped.
const DOCKER: &str = "iptables-restore <<'EOF'
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
:nixos-fw - [0:0]
-A INPUT -j nixos-fw
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-USER -j RETURN
-A nixos-fw -i lo -j ACCEPT
-A nixos-fw -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A nixos-fw -j DROP
COMMIT
EOF
ip6tables-restore <<'EOF'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
COMMIT
EOF
nft -f - <<'EOF'
table inet mine {
  chain in {
    type filter hook input priority 0; policy accept;
    tcp dport 25 drop
  }
}
EOF";
/// A table with the name of iptables', and a rule it has no word for.
const NOT_IPTABLES: &str = "nft -f - <<'EOF'
table ip filter {
  chain FORWARD {
    type filter hook forward priority 0; policy accept;
    meta mark set numgen inc mod 2
    ip saddr . ip daddr vmap { 192.0.2.1 . 192.0.2.2 : drop }
  }
}
EOF";
const NO_RULES: &str =
    "nft list tables | grep -v forage_ | sed 's/table/destroy table/' | nft -f -";

#[test]
fn other_firewalls_let_pass_and_are_as_before() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let _undo = Undo(testbed, NO_RULES);
    testbed.run_ok("root", &["sh", "-c", DOCKER])?;
    let rules = || testbed.run_ok("root", &["nft", "--stateless", "list", "ruleset"]);
    let before = rules()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-docker", "net", &[])?;
    let (_, gateway) = sandbox.addresses(false)?;
    let (_, gateway6) = sandbox.addresses(true)?;
    sandbox.reaches(&url(WEB, 80))?;
    sandbox.reaches(&url(WEB6, 80))?;
    sandbox.reaches(&url(&gateway, 8080))?;
    sandbox.reaches(&url(&gateway6, 8080))?;
    sandbox.does_not_reach(&[url(&gateway, 9000), url(HOST, 8080)])?;
    sandbox.down()?;
    let after = rules()?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
    // A rule set in nftables that nobody can be asked to open is named.
    testbed.run_ok(
        "root",
        &[
            "nft",
            "add chain inet mine passing { type filter hook forward priority 0; policy drop; }",
        ],
    )?;
    let sandbox = Sandbox::up(testbed, "bob", "net-nft", "net", &[])?;
    let said = testbed.run_ok("root", &["journalctl", "--no-pager", "-u", &sandbox.unit()])?;
    ensure!(said.contains("inet mine passing"), "{said}");
    sandbox.down()?;
    // One that looks like iptables' and is not stops neither a start nor an end.
    testbed.run_ok("root", &["sh", "-c", NO_RULES])?;
    testbed.run_ok("root", &["sh", "-c", NOT_IPTABLES])?;
    let inventory = testbed.inventory()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-own", "net", &[])?;
    sandbox.reaches(&url(WEB, 80))?;
    sandbox.down()?;
    let left = testbed.inventory()?.since(&inventory);
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

#[test]
fn firewalld_lets_pass_and_keeps_nothing() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let _undo = Undo(testbed, "systemctl stop firewalld.service");
    testbed.run_ok("root", &["systemctl", "start", "firewalld.service"])?;
    let zones = || testbed.run_ok("root", &["firewall-cmd", "--get-active-zones"]);
    let before = zones()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-fwd", "net", &[])?;
    let (_, gateway) = sandbox.addresses(false)?;
    sandbox.reaches(&url(WEB, 80))?;
    sandbox.reaches(&url(WEB6, 80))?;
    sandbox.reaches(&url(&gateway, 8080))?;
    sandbox.does_not_reach(&[url(&gateway, 9000), url(HOST, 8080)])?;
    // It forgets what it was told when it loads its rules anew, and is told again.
    testbed.run_ok("root", &["firewall-cmd", "--quiet", "--reload"])?;
    wait_for(
        "the way out after a reload",
        Duration::from_secs(10),
        || sandbox.page(&url(WEB, 80)),
    )?;
    sandbox.down()?;
    ensure!(zones()? == before, "{}", zones()?);
    Ok(())
}

#[test]
fn a_route_to_the_sandboxes_addresses_is_refused() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    for (route, key) in [
        ("10.181.0.0/16", "addressRange in"),
        ("fd4e:91c6::/32", "addressRange6 in"),
    ] {
        let before = testbed.inventory()?;
        testbed.run_ok("root", &["ip", "route", "add", route, "dev", "lan0"])?;
        let refused = ctl(testbed, "bob", &["up", "net-clash", "-t", "net"])?;
        testbed.run_ok("root", &["ip", "route", "del", route, "dev", "lan0"])?;
        ensure!(!refused.ok(), "{}", refused.text());
        for word in [route, "lan0", key] {
            ensure!(refused.stderr.contains(word), "{}", refused.stderr);
        }
        let left = testbed.inventory()?.since(&before);
        ensure!(left.is_empty(), "{left}");
    }
    Ok(())
}

#[test]
fn the_host_forwards_for_sandboxes_alone_and_as_long_as_there_are() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let settings = "cd /proc/sys/net; grep . ipv4/ip_forward ipv6/conf/all/forwarding ipv4/conf/*/forwarding ipv6/conf/*/force_forwarding | grep -v vf-";
    let settings = || testbed.run_ok("root", &["sh", "-c", settings]);
    let before = settings()?;
    let inventory = testbed.inventory()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-forward", "net", &[])?;
    let second = Sandbox::up(testbed, "bob", "net-forward2", "net", &[])?;
    sandbox.reaches(&url(WEB, 80))?;
    // The LAN has the host for its router, which is none.
    let line = format!("timeout 3 ip netns exec lan busybox nc -w 1 {WEB} 82 < /dev/null");
    ensure!(
        !testbed.sh("root", &line)?.ok(),
        "the LAN reaches the internet"
    );
    // Also when somebody has removed all rules there were.
    testbed.run_ok("root", &["nft", "flush", "ruleset"])?;
    wait_for("no way through again", Duration::from_secs(10), || {
        Ok((!testbed.sh("root", &line)?.ok()).then_some(()))
    })?;
    sandbox.down()?;
    second.reaches(&url(WEB, 80))?;
    // A way out that comes later is used, too; a host that becomes a router is one.
    testbed.run_ok("root", &["sh", "-c", "ip link add later0 type veth peer name eth1 netns lan; ip -n lan address add 192.168.78.2/24 dev eth1; ip -n lan link set eth1 up; ip address add 192.168.78.1/24 dev later0; ip link set later0 up"])?;
    let _undo = Undo(
        testbed,
        "ip link del later0; sysctl -q -w net.ipv4.ip_forward=0",
    );
    wait_for("the new way out", Duration::from_secs(10), || {
        Ok(second.page(&url("192.168.78.2", 80))?.map(|_| ()))
    })?;
    testbed.run_ok("root", &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
    wait_for("a host that is a router", Duration::from_secs(10), || {
        let line = format!("timeout 3 ip netns exec lan busybox nc -w 1 {WEB} 82 < /dev/null");
        Ok(testbed.sh("root", &line)?.ok().then_some(()))
    })?;
    // Turning that off turns it off for every interface; those of sandboxes are turned on again.
    testbed.run_ok("root", &["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"])?;
    wait_for("the way out again", Duration::from_secs(10), || {
        second.page(&url(WEB, 80))
    })?;
    second.down()?;
    testbed.run_ok("root", &["ip", "link", "del", "later0"])?;
    let after = settings()?;
    ensure!(after == before, "{before}\n{after}");
    let left = testbed.inventory()?.since(&inventory);
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

#[test]
fn a_killed_shim_leaves_nothing() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let before = testbed.inventory()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-killed", "net", &[])?;
    let shim = testbed.main_pid(&sandbox.unit())?;
    testbed.kill(shim, "KILL")?;
    wait_for("the failure", Duration::from_secs(20), || {
        Ok((sandbox.field("state")? == "failed").then_some(()))
    })?;
    let left = testbed.inventory()?.since(&before);
    let of_network = |line: &&str| {
        line.starts_with("link") || line.starts_with("firewall") || line.contains("network")
    };
    let left: Vec<&str> = left.lines().filter(of_network).collect();
    ensure!(left.is_empty(), "{left:?}");
    // What a run before left in spite of that does not stop the next.
    testbed.run_ok("root", &["sh", "-c", &format!("ip link add vf-{id} type veth peer name junk0 && nft add table netdev forage_{id} && nft add table inet forage_{id}", id = sandbox.id)])?;
    crate::support::ctl_ok(testbed, "bob", &["start", "net-killed"])?;
    sandbox.reaches(&url(WEB, 80))?;
    Ok(())
}

#[test]
fn a_host_without_ipv6() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let _undo = Undo(testbed, "sysctl -q -w net.ipv6.conf.default.disable_ipv6=0");
    testbed.run_ok(
        "root",
        &["sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1"],
    )?;
    let sandbox = Sandbox::up(testbed, "bob", "net-v4", "net", &[])?;
    sandbox.reaches("http://web.example/")?;
    ensure!(sandbox.page(&url(WEB6, 80))?.is_none());
    let rules = testbed.run_ok(
        "root",
        &[
            "nft",
            "list",
            "table",
            "netdev",
            &format!("forage_{}", sandbox.id),
        ],
    )?;
    ensure!(!rules.contains("ip6"), "{rules}");
    Ok(())
}
