//! Hosts of several kinds, what they keep, and what is left on them.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::world::{HOST, LAN, Undo, WEB, WEB6, make, url};
use crate::support::{Sandbox, alone, ctl};

/// What happens on a host is looked at again after 8 s at most, and a look may take 20 s.
const LOOKED_AGAIN: Duration = Duration::from_secs(30);

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
-A DOCKER-USER -d 192.168.77.2/32 -j DROP
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
/// Somebody's own, in a table with the name of iptables'.
const NATIVE: &str = "nft -f - <<'EOF'
table ip filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
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
    // What the administrator denies stays denied.
    sandbox.does_not_reach(&[url(LAN, 80)])?;
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
    // Also one in a table with the name of iptables'; that gets no chain it did not have.
    testbed.run_ok("root", &["sh", "-c", NO_RULES])?;
    testbed.run_ok("root", &["sh", "-c", NATIVE])?;
    let before = rules()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-native", "net", &[])?;
    let said = testbed.run_ok("root", &["journalctl", "--no-pager", "-u", &sandbox.unit()])?;
    ensure!(said.contains("ip filter forward"), "{said}");
    sandbox.down()?;
    let after = rules()?;
    ensure!(after == before, "before:\n{before}\nafter:\n{after}");
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
    wait_for("the way out after a reload", LOOKED_AGAIN, || {
        sandbox.page(&url(WEB, 80))
    })?;
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
    wait_for("no way through again", LOOKED_AGAIN, || {
        Ok((!testbed.sh("root", &line)?.ok()).then_some(()))
    })?;
    sandbox.down()?;
    second.reaches(&url(WEB, 80))?;
    // A way out that comes later is used, too; a host that becomes a router is one.
    testbed.run_ok("root", &["sh", "-c", "ip link add later0 type veth peer name eth1 netns lan; ip -n lan address add 192.168.78.2/24 dev eth1; ip -n lan link set eth1 up; ip address add 192.168.78.1/24 dev later0; ip link set later0 up"])?;
    let _undo = Undo(
        testbed,
        "ip link del later0; sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0",
    );
    wait_for("the new way out", LOOKED_AGAIN, || {
        Ok(second.page(&url("192.168.78.2", 80))?.map(|_| ()))
    })?;
    testbed.run_ok("root", &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
    wait_for("a host that is a router", LOOKED_AGAIN, || {
        let line = format!("timeout 3 ip netns exec lan busybox nc -w 1 {WEB} 82 < /dev/null");
        Ok(testbed.sh("root", &line)?.ok().then_some(()))
    })?;
    // Turning that off turns it off for every interface; those of sandboxes are turned on again, also
    // of one that began on a router.
    testbed.run_ok(
        "root",
        &["sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1"],
    )?;
    let third = Sandbox::up(testbed, "bob", "net-forward3", "net", &[])?;
    second.down()?;
    third.reaches(&url(WEB, 80))?;
    testbed.run_ok(
        "root",
        &[
            "sysctl",
            "-q",
            "-w",
            "net.ipv6.conf.all.forwarding=0",
            "net.ipv4.ip_forward=0",
        ],
    )?;
    wait_for("the way out again", LOOKED_AGAIN, || {
        third.page(&url(WEB, 80))
    })?;
    third.down()?;
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
    testbed.kill_unit(&sandbox.unit())?;
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

/// Puts tools of the network out of reach, and back.
const AWAY: &str = "for tool in iptables iptables-restore ip6tables ip6tables-restore; do mv /usr/sbin/$tool /usr/sbin/$tool.away; done";
const BACK: &str =
    "for tool in /usr/sbin/*.away; do [ ! -e $tool ] || mv -f $tool ${tool%.away}; done";

#[test]
fn tools_that_are_gone_keep_nothing() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let before = testbed.inventory()?;
    let forwards = || -> Result<bool> {
        let settings = "grep -l 1 /proc/sys/net/ipv4/conf/*/forwarding";
        Ok(testbed.sh("root", settings)?.ok())
    };
    {
        let _rules = Undo(testbed, NO_RULES);
        let _back = Undo(testbed, BACK);
        testbed.run_ok("root", &["sh", "-c", DOCKER])?;
        let sandbox = Sandbox::up(testbed, "bob", "net-gone", "net", &[])?;
        testbed.run_ok("root", &["sh", "-c", AWAY])?;
        sandbox.down()?;
        ensure!(!forwards()?, "the host forwards");
        // Nor do they stop a start; what may be in the way is told.
        let sandbox = Sandbox::up(testbed, "bob", "net-gone", "net", &[])?;
        let said = ctl(testbed, "bob", &["status", "net-gone"])?;
        ensure!(said.stdout.contains("iptables"), "{}", said.text());
        sandbox.down()?;
    }
    // Without the one that is needed, a removal says what to do, and forwarding is off all the same.
    let sandbox = Sandbox::up(testbed, "bob", "net-gone", "net", &[])?;
    ensure!(forwards()?, "the host forwards nothing");
    let back = Undo(testbed, BACK);
    testbed.run_ok("root", &["mv", "/usr/sbin/nft", "/usr/sbin/nft.away"])?;
    let refused = ctl(testbed, "bob", &["down", "net-gone", "--delete-workspace"])?;
    ensure!(
        !refused.ok() && refused.stderr.contains("forage-ctl start net-gone"),
        "{}",
        refused.text()
    );
    ensure!(!forwards()?, "the host forwards");
    drop(back);
    crate::support::ctl_ok(testbed, "bob", &["start", "net-gone"])?;
    sandbox.reaches(&url(WEB, 80))?;
    sandbox.down()?;
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

/// In the place of `nft`, says who it is and ends when it is killed.
const HANGING: &str = "mv /usr/sbin/nft /usr/sbin/nft.away && printf '#!/bin/sh\\necho $$ > /run/hanging\\nexec sleep 600\\n' > /usr/sbin/nft && chmod 755 /usr/sbin/nft";

#[test]
fn a_tool_that_hangs_keeps_nobody_waiting() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let inventory = testbed.inventory()?;
    let sandbox = Sandbox::up(testbed, "bob", "net-hang", "net", &[])?;
    let undo = Undo(testbed, "ip route del 192.0.2.0/24; rm -f /run/hanging");
    let back = Undo(testbed, BACK);
    testbed.run_ok("root", &["sh", "-c", HANGING])?;
    testbed.run_ok(
        "root",
        &["ip", "route", "add", "192.0.2.0/24", "via", "203.0.113.1"],
    )?;
    let hanging = || testbed.sh("root", "kill -0 $(cat /run/hanging)");
    wait_for("a tool that hangs", LOOKED_AGAIN, || {
        Ok(hanging()?.ok().then_some(()))
    })?;
    ensure!(sandbox.sh("echo served")? == "served");
    ensure!(hanging()?.ok(), "it was waited for");
    // Nor an end: what is left is for the next start to remove.
    crate::support::ctl_ok(testbed, "bob", &["stop", "net-hang"])?;
    drop(back);
    let left = testbed.sh("root", "nft list tables | grep forage_")?;
    ensure!(left.ok(), "nothing was left, so nothing hung");
    crate::support::ctl_ok(testbed, "bob", &["start", "net-hang"])?;
    sandbox.reaches(&url(WEB, 80))?;
    sandbox.down()?;
    drop(undo);
    let left = testbed.inventory()?.since(&inventory);
    ensure!(left.is_empty(), "{left}");
    Ok(())
}

/// In the place of `nft`, notes whether the uplink forwards already when it is to be guarded.
const NOTING: &str = r#"mv /usr/sbin/nft /usr/sbin/nft.away && cat > /usr/sbin/nft <<'EOF' && chmod 755 /usr/sbin/nft
#!/bin/sh
[ "$1" = -f ] || exec /usr/sbin/nft.away "$@"
script=$(cat)
case $script in *'iifname "up0"'*) cat /proc/sys/net/ipv4/conf/up0/forwarding >> /run/noted;; esac
printf '%s\n' "$script" | /usr/sbin/nft.away -f -
EOF"#;

#[test]
fn an_interface_is_guarded_before_it_forwards() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let _noted = Undo(testbed, "rm -f /run/noted");
    let _back = Undo(testbed, BACK);
    testbed.run_ok("root", &["sh", "-c", NOTING])?;
    let sandbox = Sandbox::up(testbed, "bob", "net-guard", "net", &[])?;
    sandbox.reaches(&url(WEB, 80))?;
    let noted = testbed.run_ok("root", &["cat", "/run/noted"])?;
    ensure!(noted == "0\n", "{noted}");
    // A guard that lacks an interface is no guard.
    let lan_alone = "nft.away -a list chain inet forage_forwarding forward | awk '/up0/ {print $NF}' | while read h; do nft.away delete rule inet forage_forwarding forward handle $h; done";
    testbed.run_ok("root", &["sh", "-c", lan_alone])?;
    wait_for("the guard again", LOOKED_AGAIN, || {
        let guard = "nft.away list chain inet forage_forwarding forward | grep -q up0";
        Ok(testbed.sh("root", guard)?.ok().then_some(()))
    })?;
    sandbox.down()?;
    Ok(())
}
