//! What is around the host: a namespace that plays the internet, and one that plays the LAN. Made once
//! and left until the host ends.

use std::process::Child;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::Sandbox;

/// The web server, the first resolver and the API.
pub(super) const WEB: &str = "198.51.100.10";
pub(super) const WEB6: &str = "2001:db8:2::10";
/// The second resolver.
pub(super) const RESOLVER2: &str = "198.51.100.20";
/// The host's addresses on its uplink and on the LAN.
pub(super) const HOST: &str = "203.0.113.2";
pub(super) const HOST6: &str = "2001:db8:1::2";
pub(super) const HOST_ON_LAN: &str = "192.168.77.1";
/// A machine of the LAN.
pub(super) const LAN: &str = "192.168.77.2";

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

/// Answers datagrams on the host.
const DATAGRAMS: &str = "my $s = IO::Socket::INET->new(Proto => 'udp', LocalPort => 8053); while (1) { $s->recv(my $x, 100); $s->send('from the host') }";

static SERVERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Makes it, the first time.
pub(super) fn make(testbed: &'static Testbed) -> Result<()> {
    static MADE: OnceLock<Result<(), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| begin(testbed).map_err(|error| format!("{error:#}")));
    made.as_ref()
        .map_err(|error| anyhow!("no internet: {error}"))
        .copied()
}

fn begin(testbed: &'static Testbed) -> Result<()> {
    testbed.run_ok("root", &["sh", "-c", MAKE])?;
    let servers: [&[&str]; 5] = [
        &[
            "ip",
            "netns",
            "exec",
            "internet",
            "internet",
            "serve",
            "/tmp/internet",
            "198.51.100.10",
            "198.51.100.20",
        ],
        &[
            "ip", "netns", "exec", "lan", "internet", "serve", "/tmp/lan",
        ],
        // On the host: a port that is open to sandboxes, one that is not, and a datagram's.
        &[
            "busybox",
            "httpd",
            "-f",
            "-p",
            "[::]:8080",
            "-h",
            "/tmp/www",
        ],
        &[
            "busybox",
            "httpd",
            "-f",
            "-p",
            "[::]:9000",
            "-h",
            "/tmp/www",
        ],
        &["perl", "-MIO::Socket::INET", "-e", DATAGRAMS],
    ];
    for argv in servers {
        let mut command = testbed.command("root", argv);
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        SERVERS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(child);
    }
    let ready = "test -e /tmp/internet/ready -a -e /tmp/lan/ready && ss -Hltn sport = 8080 | grep -q . && ss -Hltn sport = 9000 | grep -q .";
    wait_for("the internet", Duration::from_secs(10), || {
        Ok(testbed.sh("root", ready)?.ok().then_some(()))
    })
}

/// How many packets with a source that is not the host's the internet has seen.
pub(super) fn foreign(testbed: &Testbed) -> Result<u64> {
    let spied = testbed.run_ok(
        "root",
        &[
            "ip", "netns", "exec", "internet", "nft", "list", "table", "inet", "spy",
        ],
    )?;
    let counts = spied.split("packets ").skip(1);
    Ok(counts
        .filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok())
        .sum())
}

impl Sandbox {
    /// What a page says; `None` when it cannot be had.
    pub(super) fn page(&self, url: &str) -> Result<Option<String>> {
        let outcome = self.exec(&["curl", "--silent", "--globoff", "--max-time", "3", url])?;
        Ok(outcome.ok().then_some(outcome.stdout))
    }

    /// A page that has to be had.
    pub(super) fn reaches(&self, url: &str) -> Result<String> {
        self.page(url)?
            .ok_or_else(|| anyhow!("{} does not reach {url}", self.name))
    }

    /// What must not be reached.
    pub(super) fn does_not_reach(&self, urls: &[String]) -> Result<()> {
        for url in urls {
            let page = self.page(url)?;
            ensure!(page.is_none(), "{} reaches {url}: {page:?}", self.name);
        }
        Ok(())
    }

    /// Runs a line of shell as root of the sandbox.
    pub(super) fn as_root(
        &self,
        testbed: &Testbed,
        line: &str,
    ) -> Result<forage_tests::testbed::Outcome> {
        let machine = format!("forage-{}", self.id);
        let argv = [
            "systemd-run",
            "-M",
            &machine,
            "--wait",
            "--pipe",
            "--quiet",
            "sh",
            "-c",
            line,
        ];
        testbed.run("root", &argv)
    }

    /// The addresses `status` tells: the sandbox's and the gateway's of a family.
    pub(super) fn addresses(&self, v6: bool) -> Result<(String, String)> {
        let family = if v6 { "-6" } else { "-4" };
        let inside = self.sh(&format!(
            "ip {family} -oneline address show dev forage0 scope global | awk '{{print $4}}' | cut -d/ -f1"
        ))?;
        let gateway = self.sh(&format!(
            "ip {family} route show default | awk '{{print $3}}'"
        ))?;
        ensure!(!inside.is_empty() && !gateway.is_empty(), "no addresses");
        Ok((inside, gateway))
    }
}

/// An address as it stands in a URL.
pub(super) fn url(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("http://[{address}]:{port}/")
    } else {
        format!("http://{address}:{port}/")
    }
}
