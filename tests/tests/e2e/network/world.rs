//! What is around the host, and what a sandbox reaches of it.

use std::sync::OnceLock;

use anyhow::{Result, anyhow, ensure};
use forage_tests::testbed::Testbed;

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

/// Makes it, the first time.
pub(crate) fn make(testbed: &'static Testbed) -> Result<()> {
    static MADE: OnceLock<Result<(), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| testbed.surround().map_err(|error| format!("{error:#}")));
    made.as_ref()
        .map_err(|error| anyhow!("no internet: {error}"))
        .copied()
}

/// Undoes something however a test ends.
pub(super) struct Undo(pub(super) &'static Testbed, pub(super) &'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        if let Err(error) = self.0.run_ok("root", &["sh", "-c", self.1]) {
            eprintln!("not put back: {error:#}");
        }
    }
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
    pub(super) fn as_root(&self, line: &str) -> Result<forage_tests::testbed::Outcome> {
        self.as_service("root", &["sh", "-c", line])
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
