//! What a sandbox with a network reaches, and who reaches it.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::world::{HOST, HOST_ON_LAN, HOST6, LAN, RESOLVER2, WEB, WEB6, make, url};
use crate::support::{Sandbox, alone, beside_others, store, token};

#[test]
fn the_internet_and_the_lan_but_not_the_host() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    make(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "net-reach", "net", &[])?;
    // By name and by address, over both families, in the host's name.
    let by_name = sandbox.reaches("http://web.example/")?;
    ensure!(
        [HOST, HOST6]
            .iter()
            .any(|host| by_name == format!("hello {host}\n")),
        "{by_name}"
    );
    ensure!(sandbox.reaches("http://v6.example/")? == format!("hello {HOST6}\n"));
    ensure!(sandbox.reaches(&url(WEB, 80))? == format!("hello {HOST}\n"));
    ensure!(sandbox.reaches(&url(WEB6, 80))? == format!("hello {HOST6}\n"));
    ensure!(sandbox.reaches(&url(LAN, 80))? == format!("hello {HOST_ON_LAN}\n"));
    let (inside, gateway) = sandbox.addresses(false)?;
    let (inside6, gateway6) = sandbox.addresses(true)?;
    ensure!(sandbox.sh("cat /run/forage/net/gateway")? == gateway);
    // What the template opens of the host, at the gateway's address alone.
    ensure!(sandbox.reaches(&url(&gateway, 8080))? == "from the host\n");
    ensure!(sandbox.reaches(&url(&gateway6, 8080))? == "from the host\n");
    let datagram = format!(
        "echo | perl -MIO::Socket::INET -e 'alarm 3; my $s = IO::Socket::INET->new(Proto => \"udp\", PeerAddr => \"{gateway}:8053\"); $s->send(\"x\"); $s->recv(my $a, 100); print $a'"
    );
    ensure!(sandbox.sh(&datagram)? == "from the host");
    let mut forbidden = vec![
        url(&gateway, 9000),
        url(&gateway6, 9000),
        url(&gateway, 22),
        url("169.254.169.254", 80),
        url("fd00:ec2::254", 80),
        url("127.0.0.1", 8080),
    ];
    for host in [HOST, HOST6, HOST_ON_LAN] {
        forbidden.extend([url(host, 8080), url(host, 9000)]);
    }
    let link_local = testbed.run_ok(
        "root",
        &[
            "sh",
            "-c",
            "ip -6 -oneline address show scope link | awk '{print $4}' | cut -d/ -f1",
        ],
    )?;
    ensure!(!link_local.is_empty());
    forbidden.extend(
        link_local
            .lines()
            .map(|address| url(&format!("{address}%25forage0"), 8080)),
    );
    sandbox.does_not_reach(&forbidden)?;
    // The host reaches the sandbox, and nobody else does.
    let serve = "systemd-run --quiet --unit=served perl -MIO::Socket::IP -e 'my $s = IO::Socket::IP->new(LocalAddr => \"::\", LocalPort => 3000, Listen => 9, ReuseAddr => 1); while (my $c = $s->accept) { print $c \"served\"; close $c }'";
    let served = sandbox.as_root(serve)?;
    ensure!(served.ok(), "{}", served.text());
    for address in [&inside, &inside6] {
        let line = format!("busybox nc -w 3 {address} 3000");
        wait_for("the sandbox's server", Duration::from_secs(5), || {
            Ok((testbed.sh("root", &line)?.stdout == "served").then_some(()))
        })?;
    }
    for namespace in ["lan", "internet"] {
        let line = format!("ip netns exec {namespace} busybox nc -w 2 {inside} 3000");
        ensure!(
            testbed.sh("root", &line)?.stdout.is_empty(),
            "{namespace} reaches it"
        );
    }
    let line = format!("ip netns exec internet busybox nc -w 2 {inside6} 3000");
    ensure!(
        testbed.sh("root", &line)?.stdout.is_empty(),
        "it is reached over IPv6"
    );
    Ok(())
}

#[test]
fn sandboxes_do_not_reach_each_other() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    make(testbed)?;
    let one = Sandbox::up(testbed, "bob", "net-one", "net", &[])?;
    let two = Sandbox::up(testbed, "alice", "net-two", "net", &[])?;
    let serve = "systemd-run --quiet --unit=served perl -MIO::Socket::IP -e 'my $s = IO::Socket::IP->new(LocalAddr => \"::\", LocalPort => 3000, Listen => 9, ReuseAddr => 1); while (my $c = $s->accept) { print $c \"HTTP/1.0 200 OK\\r\\n\\r\\nserved\"; close $c }'";
    ensure!(two.as_root(serve)?.ok());
    // A link-local address of its own making, too.
    ensure!(two.as_root("ip address add fe80::2/64 dev forage0 nodad && ip address add 169.254.7.2/16 dev forage0")?.ok());
    ensure!(one.as_root("ip address add fe80::1/64 dev forage0 nodad && ip address add 169.254.7.1/16 dev forage0")?.ok());
    let (inside, gateway) = two.addresses(false)?;
    let (inside6, gateway6) = two.addresses(true)?;
    let own = url("127.0.0.1", 3000);
    wait_for("the server", Duration::from_secs(5), || {
        Ok((two.page(&own)?.as_deref() == Some("served")).then_some(()))
    })?;
    one.does_not_reach(&[
        url(&inside, 3000),
        url(&inside6, 3000),
        url("fe80::2%25forage0", 3000),
        url("169.254.7.2", 3000),
        // The other's gateway is the host.
        url(&gateway, 8080),
        url(&gateway6, 8080),
    ])?;
    Ok(())
}

#[test]
fn without_a_network_there_is_a_loopback_device() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "net-none", "claude-key", &[])?;
    let links = sandbox.sh("ip -oneline link | awk '{print $2}'")?;
    ensure!(links == "lo:", "{links}");
    ensure!(!sandbox.exec(&["test", "-e", "/run/forage/net"])?.ok());
    Ok(())
}

#[test]
fn the_real_client_talks_to_the_api() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let token = token('n');
    ensure!(store(testbed, "alice", &token)?.ok());
    let sandbox = Sandbox::up(testbed, "alice", "net-claude", "net", &[])?;
    testbed.sh("root", "rm -f /tmp/internet/asked")?;
    let said = sandbox.exec_ok(&[
        "env",
        "ANTHROPIC_BASE_URL=http://web.example",
        "claude",
        "-p",
        "hi",
    ])?;
    ensure!(said == "hello from the API", "{said}");
    let asked = testbed.run_ok("root", &["cat", "/tmp/internet/asked"])?;
    ensure!(
        asked.contains(&format!("Bearer {token}")),
        "{}",
        asked.replace(&token, "TOKEN")
    );
    Ok(())
}

/// The host's list of resolvers, put back as it was.
struct ResolvConf(&'static Testbed, String);

impl ResolvConf {
    fn borrow(testbed: &'static Testbed) -> Result<Self> {
        Ok(Self(
            testbed,
            testbed.run_ok("root", &["cat", "/etc/resolv.conf"])?,
        ))
    }
}

impl Drop for ResolvConf {
    fn drop(&mut self) {
        let put = self.0.sh(
            "root",
            "rm -rf /run/systemd/resolve; rm -f /etc/resolv.conf",
        );
        let put = put.and_then(|_| {
            self.0
                .write_file("/etc/resolv.conf", "root", "0644", self.1.as_bytes())
        });
        if let Err(error) = put {
            eprintln!("the host's resolvers were not put back: {error:#}");
        }
    }
}

#[test]
fn names_are_resolved_by_whom_the_host_asks_now() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    make(testbed)?;
    let _resolvers = ResolvConf::borrow(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "net-names", "net", &[])?;
    let asks = |expected: &str| {
        wait_for(expected, Duration::from_secs(10), || {
            let outcome = sandbox.exec(&["getent", "ahostsv4", "who.example"])?;
            Ok(outcome.stdout.starts_with(expected).then_some(()))
        })
    };
    asks(WEB)?;
    // Written in place, then replaced, then a source that is better; each in a running sandbox.
    let change = |line: &str| testbed.run_ok("root", &["sh", "-c", line]);
    change(&format!("echo nameserver {RESOLVER2} > /etc/resolv.conf"))?;
    asks(RESOLVER2)?;
    change(&format!(
        "echo nameserver {WEB} > /etc/fresh && mv /etc/fresh /etc/resolv.conf"
    ))?;
    asks(WEB)?;
    change(&format!(
        "mkdir -p /run/systemd/resolve && printf 'nameserver 127.0.0.53\\nnameserver {RESOLVER2}\\n' > /run/systemd/resolve/resolv.conf"
    ))?;
    asks(RESOLVER2)?;
    ensure!(!sandbox.sh("cat /etc/resolv.conf")?.contains("127.0.0"));
    change("rm -r /run/systemd/resolve; ln -sf /run/elsewhere /etc/resolv.conf")?;
    wait_for("no resolver", Duration::from_secs(10), || {
        let text = sandbox.sh("cat /etc/resolv.conf")?;
        Ok((!text.contains("nameserver")).then_some(()))
    })?;
    // The container's root cannot write there, only point elsewhere.
    let outcome = sandbox.as_root("echo nameserver 192.0.2.1 > /run/forage/net/resolv.conf")?;
    ensure!(!outcome.ok(), "written");
    change(&format!("echo nameserver {WEB} > /run/elsewhere"))?;
    asks(WEB)
}
