//! What is around the host: a namespace that plays the internet, and one that plays the LAN. Made once
//! and left until the host ends.

use std::time::Duration;

use anyhow::Result;

use super::instance::Testbed;
use super::wait::wait_for;

/// The internet has a listener on the address clouds have for the data of their machines, and would
/// answer a spoofed source.
const MAKE: &str = "set -e
ip netns add internet
ip netns add lan
ip link add up0 type veth peer name eth0 netns internet
ip link add lan0 type veth peer name eth0 netns lan
for ns in internet lan; do ip -n $ns link set lo up; ip -n $ns link set eth0 up; done
ip address add 203.0.113.2/24 dev up0
ip address add 2001:db8:1::2/64 dev up0 nodad
ip address add 192.168.77.1/24 dev lan0
ip link set up0 up
ip link set lan0 up
ip -n internet address add 203.0.113.1/24 dev eth0
ip -n internet address add 2001:db8:1::1/64 dev eth0 nodad
for a in 198.51.100.10 198.51.100.20 169.254.169.254; do ip -n internet address add $a/32 dev lo; done
ip -n internet address add 2001:db8:2::10/128 dev lo nodad
ip -n internet address add fd00:ec2::254/128 dev lo nodad
ip -n internet route add default via 203.0.113.2
ip -n internet -6 route add default via 2001:db8:1::2
ip -n lan address add 192.168.77.2/24 dev eth0
ip -n lan route add default via 192.168.77.1
ip route add default via 203.0.113.1
ip -6 route add default via 2001:db8:1::1
echo nameserver 198.51.100.10 > /etc/resolv.conf
ip netns exec internet nft -f - <<'EOF'
table inet spy {
  chain in {
  type filter hook prerouting priority -300; policy accept;
  iifname eth0 ip saddr != 203.0.113.2 counter comment \"foreign\"
  iifname eth0 ip6 saddr != { 2001:db8:1::2, fe80::/10, :: } counter comment \"foreign\"
  }
}
EOF
mkdir -p /tmp/internet /tmp/lan /tmp/www
echo from the host > /tmp/www/index.html";

/// Programs of the internet, of the LAN, and of the host: a port that is open to sandboxes, one that is
/// not, and one for datagrams.
const SERVE: &str = "set -e
run() { systemd-run --quiet --collect --unit=\"$@\"; }
run around-internet ip netns exec internet internet serve /tmp/internet 198.51.100.10 198.51.100.20
run around-lan ip netns exec lan internet serve /tmp/lan
run around-open busybox httpd -f -p [::]:8080 -h /tmp/www
run around-closed busybox httpd -f -p [::]:9000 -h /tmp/www
run around-datagrams perl -MIO::Socket::INET -e \"my \\$s = IO::Socket::INET->new(Proto => 'udp', LocalPort => 8053); while (1) { \\$s->recv(my \\$x, 100); \\$s->send('from the host') }\"";

const READY: &str = "test -e /tmp/internet/ready -a -e /tmp/lan/ready &&
for port in 8080 9000; do ss -Hltn sport = $port | grep -q . || exit 1; done && ss -Hlun sport = 8053 | grep -q .";

impl Testbed {
    /// Puts the host between an internet and a LAN.
    pub fn surround(&self) -> Result<()> {
        self.run_ok("root", &["sh", "-c", MAKE])?;
        self.run_ok("root", &["sh", "-c", SERVE])?;
        wait_for("the internet", Duration::from_secs(60), || {
            Ok(self.sh("root", READY)?.ok().then_some(()))
        })
    }
}
