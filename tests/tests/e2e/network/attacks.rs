//! The sandbox's root, with every capability it has inside, against the rules on the host.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::world::{HOST, LAN, Undo, WEB, WEB6, foreign, make, url};
use crate::support::{Sandbox, alone};

/// Sends datagrams to the internet, and to a neighbour, from whatever address there is.
const SEND: &str = "perl -MSocket -e 'for my $to (@ARGV) { socket(my $s, PF_INET, SOCK_DGRAM, 0); send($s, \"x\", 0, sockaddr_in(53, inet_aton($to))) for 1 .. 5 }' 198.51.100.10 203.0.113.1";

#[test]
fn nothing_leaves_under_another_name() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "net-spoof", "net", &[])?;
    let victim = Sandbox::up(testbed, "bob", "net-victim", "net", &[])?;
    let (other, _) = victim.addresses(false)?;
    let (other6, _) = victim.addresses(true)?;
    let (own, gateway) = sandbox.addresses(false)?;
    let before = foreign(testbed)?;
    let send6 = SEND
        .replace("PF_INET,", "PF_INET6,")
        .replace(
            "sockaddr_in(53, inet_aton($to))",
            "pack_sockaddr_in6(53, Socket::inet_pton(PF_INET6, $to))",
        )
        .replace("198.51.100.10 203.0.113.1", "2001:db8:2::10 2001:db8:1::1");
    let dropped = || -> Result<u64> {
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
        let spoofed = rules.lines().filter(|line| line.contains("spoofed"));
        let counts = spoofed.filter_map(|line| {
            line.split("packets ")
                .nth(1)?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        });
        Ok(counts.sum())
    };
    let as_other = |line: &str| -> Result<()> {
        let had = dropped()?;
        let outcome = sandbox.as_root(line)?;
        ensure!(outcome.ok(), "{line}: {}", outcome.text());
        ensure!(
            dropped()? > had,
            "{line}: nothing was dropped, so nothing was sent"
        );
        Ok(())
    };
    // Addresses of the internet, of the host, of the LAN, of another sandbox.
    for address in ["203.0.113.77", HOST, LAN, &other] {
        as_other(&format!(
            "ip address add {address}/32 dev forage0 && ip route replace default via {gateway} dev forage0 src {address} && {SEND}; r=$?; ip route replace default via {gateway} dev forage0 src {own}; ip address del {address}/32 dev forage0; exit $r"
        ))?;
    }
    for address in ["2001:db8:77::1", &other6] {
        as_other(&format!(
            "ip address add {address}/128 dev forage0 nodad && set -- $(ip -6 route show default) && ip -6 route replace default via $3 dev forage0 src {address} metric 1 && {send6}; r=$?; ip -6 route del default metric 1; ip address del {address}/128 dev forage0; exit $r"
        ))?;
    }
    // Another hardware address means nothing: no packet leaves the host with it.
    let outcome = sandbox.as_root(&format!(
        "ip link set dev forage0 address 02:00:00:00:00:99 && {SEND}"
    ))?;
    ensure!(outcome.ok(), "{}", outcome.text());
    ensure!(foreign(testbed)? == before, "spoofed packets arrived");
    Ok(())
}

/// Raw frames from a namespace the sandbox's root made, where it has the capability it lacks outside:
/// a macvlan on the link carries them. Tagged frames, frames of other kinds, queries for neighbours,
/// offers of addresses, and redirects.
const RAW: &str = r#"
set -e
ip link add link forage0 name raw0 type macvlan mode bridge
cat > /tmp/raw.pl <<'EOF'
use Socket;
my ($gateway_mac, $own_mac, $own, $gateway) = @ARGV;
socket(my $s, 17, 3, 0x0300) or die "no raw socket: $!";
my $index = $ENV{INDEX};
bind($s, pack('S n l S C C a8', 17, 3, $index, 0, 0, 0, '')) or die "bind: $!";
my $mac = sub { join '', map { chr hex } split /:/, shift };
sub sum { my $n = 0; $n += $_ for unpack('n*', shift); $n = ($n & 0xffff) + ($n >> 16) while $n >> 16; ~$n & 0xffff }
sub ip4 { my ($from, $to, $proto, $data) = @_;
  my $h = pack('C C n n n C C n a4 a4', 0x45, 0, 20 + length $data, 0, 0, 64, $proto, 0, inet_aton($from), inet_aton($to));
  substr($h, 10, 2) = pack('n', sum($h)); $h . $data }
sub udp { my ($from, $to, $data) = @_; pack('n n n n', $from, $to, 8 + length $data, 0) . $data }
my $tcp = pack('n n N N C C n n n', 40000, 8080, 1, 1, 0x50, 0x10, 1024, 0, 0);
substr($tcp, 16, 2) = pack('n', sum(inet_aton($own) . inet_aton($gateway) . pack('n n', 6, 20) . $tcp));
my $middle = ip4($own, $gateway, 6, $tcp);
my $spoofed = ip4('203.0.113.77', '198.51.100.10', 17, udp(1, 53, 'raw'));
my $metadata = ip4($own, '169.254.169.254', 17, udp(1, 53, 'raw'));
my $host = ip4($own, '203.0.113.2', 17, udp(1, 9000, 'raw'));
for my $from ($own_mac, '02:00:00:00:00:99') { for my $to ($gateway_mac, 'ff:ff:ff:ff:ff:ff') {
  my $head = $mac->($to) . $mac->($from);
  for my $packet ($spoofed, $metadata, $host, $middle) {
    for my $tags ('', pack('n n', 0x8100, 0), pack('n n', 0x8100, 7), pack('n n n n', 0x8100, 0, 0x8100, 0),
        pack('n n n n', 0x88a8, 0, 0x8100, 0), pack('n n n n n n', 0x8100, 0, 0x88a8, 0, 0x8100, 0)) {
      defined send($s, $head . $tags . pack('n', 0x0800) . $packet, 0) or die "send: $!"; $n++;
    }
  }
  # I have the gateway's address, and the internet's; here are an address and a way out for you.
  for my $claim ($gateway, '203.0.113.1') {
    send($s, $head . pack('n n n C C n a6 a4 a6 a4', 0x0806, 1, 0x0800, 6, 4, 2, $mac->($from), inet_aton($claim), $mac->($to), inet_aton($gateway)), 0); $n++;
  }
  send($s, $head . pack('n', 0x0800) . ip4($own, '255.255.255.255', 17, udp(67, 68, 'offer')), 0); $n++;
  send($s, $head . pack('n', $_) . 'x' x 60, 0), $n++ for 0x88cc, 0x8863, 0x8847, 0x86dd, 0x0004;
} }
print "sent $n\n";
EOF
rm -f /tmp/pid
unshare --user --map-root-user --net --fork sh -c '
  touch /tmp/pid
  until ip link show raw0 > /dev/null 2>&1; do sleep 0.05; done
  ip link set raw0 up
  INDEX=$(ip -oneline link show raw0 | cut -d: -f1) perl /tmp/raw.pl "$@"' sh "$@" &
until [ -e /tmp/pid ]; do sleep 0.05; done
ip link set raw0 netns $!
wait $!
"#;

#[test]
fn raw_frames_get_nowhere() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "net-raw", "net", &[])?;
    let (own, gateway) = sandbox.addresses(false)?;
    let mac = |end: &str| {
        let id: Vec<String> = sandbox
            .id
            .as_bytes()
            .chunks(2)
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect();
        format!("02:{end}:{}", id.join(":"))
    };
    let before = foreign(testbed)?;
    let neighbours = "ip neighbor show nud permanent; ip route show; ip -6 route show; ip -4 address show; ip -6 address show scope global; cat /etc/resolv.conf";
    let known = testbed.run_ok("root", &["sh", "-c", neighbours])?;
    let line = format!("set -- {} {} {own} {gateway}\n{RAW}", mac("f0"), mac("f1"));
    let outcome = sandbox.as_root(&line)?;
    ensure!(
        outcome.ok() && outcome.stdout.contains("sent "),
        "{}",
        outcome.text()
    );
    ensure!(foreign(testbed)? == before, "raw frames arrived");
    // They came as far as the rules, and no further.
    let rules = |table: &str| {
        testbed.run_ok(
            "root",
            &[
                "nft",
                "list",
                "table",
                table,
                &format!("forage_{}", sandbox.id),
            ],
        )
    };
    let (enter, later) = (rules("netdev")?, rules("inet")?);
    let counted = |rules: &str, kind: &str| {
        let own = |line: &&str| line.contains(&format!("comment \"{kind}\""));
        let mut lines = rules.lines().filter(own);
        lines.any(|line| !line.contains("packets 0 "))
    };
    ensure!(counted(&enter, "spoofed"), "{enter}");
    ensure!(
        counted(&later, "forbidden") && counted(&later, "host"),
        "{later}"
    );
    // What looks like the middle of a connection is none.
    ensure!(counted(&later, "unbegun"), "{later}");
    ensure!(!counted(&later, "closed"), "{later}");
    let now = testbed.run_ok("root", &["sh", "-c", neighbours])?;
    ensure!(now == known, "the host believed it:\n{known}\n{now}");
    Ok(())
}

#[test]
fn rules_inside_and_a_flush_on_the_host_change_nothing() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "net-flush", "net", &[])?;
    let other = Sandbox::up(testbed, "bob", "net-other", "net", &[])?;
    let (_, gateway) = sandbox.addresses(false)?;
    let (inside, _) = other.addresses(false)?;
    let tables = || testbed.run_ok("root", &["sh", "-c", "nft --stateless list ruleset"]);
    let rules = tables()?;
    let holds = || -> Result<()> {
        sandbox.reaches(&url(WEB, 80))?;
        sandbox.reaches(&url(&gateway, 8080))?;
        sandbox.does_not_reach(&[
            url(&gateway, 9000),
            url(HOST, 8080),
            url("169.254.169.254", 80),
            url(&inside, 3000),
        ])
    };
    let inside_flush = "nft flush ruleset; nft -f - <<'EOF'\ntable inet x {\n chain y {\n type filter hook output priority 0; policy accept;\n accept\n }\n}\nEOF";
    ensure!(sandbox.as_root(inside_flush)?.ok());
    ensure!(tables()? == rules);
    holds()?;
    let own = format!("forage_{}", sandbox.id);
    for line in [
        "nft flush ruleset",
        "iptables -F && iptables -t nat -F && ip6tables -F",
    ] {
        testbed.run_ok("root", &["sh", "-c", line])?;
        let now = tables()?;
        ensure!(
            now.contains(&format!("table netdev {own}"))
                && now.contains(&format!("table inet {own}")),
            "{now}"
        );
        holds()?;
    }
    for line in [
        format!("nft flush table inet {own}"),
        format!("nft delete table netdev {own}"),
        format!("nft insert rule inet {own} input accept"),
    ] {
        let outcome = testbed.sh("root", &line)?;
        ensure!(!outcome.ok(), "{line} worked");
    }
    testbed.run_ok(
        "root",
        &[
            "sh",
            "-c",
            "nft list tables | grep -v forage_ | sed 's/table/destroy table/' | nft -f -",
        ],
    )?;
    Ok(())
}

/// Whoever sends it a datagram gets datagrams for ever; how many is in a file.
const CHATTER: &str = r#"systemd-run --quiet --collect --unit=around-chatter ip netns exec internet perl -MIO::Socket::IP -e '
my $s = IO::Socket::IP->new(Proto => "udp", LocalAddr => shift, LocalPort => 5000) or die;
my $to = $s->recv(my $x, 100);
while (1) {
  $s->send("chatter", 0, $to);
  open my $f, ">", "/tmp/chatter.fresh"; print $f ++$n; close $f; rename "/tmp/chatter.fresh", "/tmp/chatter";
  select undef, undef, undef, 0.02;
}'"#;

/// How many datagrams came for a port that is not open.
const UNWANTED: &str = "cat /proc/net/snmp /proc/net/snmp6 | awk '/^Udp: [0-9]/ { n += $3 } /^Udp6NoPorts/ { n += $2 } END { print n }'";

#[test]
fn the_connections_of_one_sandbox_are_not_the_nexts() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    for far in [WEB, WEB6] {
        testbed.run_ok("root", &["sh", "-c", "rm -f /tmp/chatter"])?;
        testbed.run_ok("root", &["sh", "-c", &format!("{CHATTER} {far}")])?;
        let _undo = Undo(testbed, "systemctl stop around-chatter");
        let sent = || -> Result<u64> {
            let said = testbed.sh("root", "cat /tmp/chatter")?.stdout;
            Ok(said.parse().unwrap_or_default())
        };
        let first = Sandbox::up(testbed, "bob", "net-first", "net", &[])?;
        let (inside, _) = first.addresses(false)?;
        let ask = format!(
            "echo | perl -MIO::Socket::IP -e 'alarm 9; my $s = IO::Socket::IP->new(Proto => \"udp\", LocalPort => 4000, PeerAddr => \"{far}\", PeerPort => 5000) or die; my $a; do {{ $s->send(\"x\"); select undef, undef, undef, 0.05; $s->recv($a, 100, 64) }} until length $a; print $a'"
        );
        ensure!(first.sh(&ask)? == "chatter");
        first.down()?;
        let second = Sandbox::up(testbed, "alice", "net-second", "net", &[])?;
        ensure!(second.addresses(false)?.0 == inside);
        let before = second.sh(UNWANTED)?;
        let had = sent()?;
        wait_for("more datagrams", Duration::from_secs(10), || {
            Ok((sent()? > had + 20).then_some(()))
        })?;
        let after = second.sh(UNWANTED)?;
        ensure!(after == before && after == "0", "{before} {after}");
        second.down()?;
    }
    Ok(())
}
