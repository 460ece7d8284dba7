//! What the host must forward for its sandboxes. Where it forwards nothing, that is turned on for
//! single interfaces, never for the host as a whole, and a table of rules of its own keeps those
//! interfaces from forwarding for anybody but the sandboxes. Both go with the last sandbox.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forage_api::{Failure, places};
use rustix::fs::{FlockOperation, flock};

use super::tool::Tool;
use crate::fail::start;
use crate::sys::time::Deadline;

/// The table that keeps interfaces from forwarding for others.
const TABLE: &str = "forage_forwarding";

/// The families: how the kernel's settings name them, how rules do, and the setting of one interface.
const FAMILIES: [Family; 2] = [
    Family {
        name: "ipv4",
        option: "-4",
        setting: "forwarding",
    },
    Family {
        name: "ipv6",
        option: "-6",
        setting: "force_forwarding",
    },
];

struct Family {
    name: &'static str,
    option: &'static str,
    setting: &'static str,
}

impl Family {
    fn path(&self, interface: &str, setting: &str) -> PathBuf {
        let conf = Path::new("/proc/sys/net").join(self.name).join("conf");
        conf.join(interface).join(setting)
    }

    /// Whether the host as a whole forwards; `None` where there is no such family.
    fn host_forwards(&self) -> Option<bool> {
        let value = fs::read_to_string(self.path("all", "forwarding")).ok()?;
        Some(value.trim() != "0")
    }

    fn is_set(&self, interface: &str) -> bool {
        let value = fs::read_to_string(self.path(interface, self.setting));
        value.is_ok_and(|value| value.trim() != "0")
    }

    fn set(&self, interface: &str, on: bool) -> io::Result<()> {
        let path = self.path(interface, self.setting);
        match fs::write(path, if on { "1" } else { "0" }) {
            // An interface that is gone forwards nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Whether IPv6 can be forwarded: by the host as a whole, or, since Linux 6.17, by an interface.
pub fn can_forward_v6() -> bool {
    let [_, v6] = &FAMILIES;
    v6.host_forwards()
        .is_some_and(|on| on || v6.path("all", v6.setting).exists())
}

/// Whether the host as a whole forwards everything it has.
pub fn host_forwards() -> bool {
    let off = |family: &Family| family.host_forwards() == Some(false);
    !FAMILIES.iter().any(off)
}

/// Makes the host forward between its interfaces and the sandbox's, and says what that changed.
///
/// # Errors
/// A tool fails, or the kernel refuses.
pub fn enable(
    own: &str,
    with_v6: bool,
    (ip, nft): (&Tool, &Tool),
    deadline: Deadline,
) -> Result<Vec<String>, Failure> {
    let failed = |error: io::Error| start("turn on forwarding for the sandbox", error);
    for family in FAMILIES.iter().filter(|f| with_v6 || f.name == "ipv4") {
        if family.host_forwards() == Some(false) {
            family.set(own, true).map_err(failed)?;
        }
    }
    if host_forwards() && !Ledger::path().exists() {
        return Ok(Vec::new());
    }
    let mut ledger = Ledger::open(deadline).map_err(failed)?;
    let before = ledger.entries.clone();
    let mut fresh = Vec::new();
    for family in &FAMILIES {
        if family.host_forwards() != Some(false) {
            // Somebody made the host a router: the interfaces are theirs now.
            ledger.entries.retain(|entry| entry.0 != family.name);
            continue;
        }
        if family.name == "ipv6" && !with_v6 {
            continue;
        }
        for interface in interfaces(family, ip)? {
            if !family.is_set(&interface) {
                // Noted first: what is turned on must be turned off again.
                ledger.add(family.name, &interface).map_err(failed)?;
                fresh.push((family, interface));
            }
        }
    }
    // Guarded before it forwards: there is no moment in which it does for others.
    if ledger.entries != before || !is_guarded(&ledger.entries, nft)? {
        guard(&ledger.entries, nft)?;
    }
    let mut done = Vec::new();
    for (family, interface) in fresh {
        family.set(&interface, true).map_err(failed)?;
        done.push(format!(
            "{} is forwarded for sandboxes on {interface}",
            family.name
        ));
    }
    ledger.finish().map_err(failed)?;
    Ok(done)
}

/// Turns off what was turned on, if no sandbox has a network any more.
///
/// # Errors
/// A tool fails, or the kernel refuses. The next call begins anew.
pub fn disable(others: impl Fn() -> bool, deadline: Deadline) -> Result<(), Failure> {
    let failed = |error: io::Error| start("turn off forwarding", error);
    if !Ledger::path().exists() || others() {
        return Ok(());
    }
    let mut ledger = Ledger::open(deadline).map_err(failed)?;
    // One may have begun before the ledger was ours.
    if others() {
        return Ok(());
    }
    let mut result = Ok(());
    for (name, interface) in &ledger.entries {
        for family in FAMILIES.iter().filter(|family| family.name == name) {
            if family.host_forwards() == Some(false) && family.is_set(interface) {
                result = result.and(family.set(interface, false));
            }
        }
    }
    result.map_err(failed)?;
    ledger.entries.clear();
    let nft = Tool::require("nft", "nftables")?.by(deadline);
    guard(&ledger.entries, &nft)?;
    ledger.finish().map_err(failed)
}

/// Whether each of the interfaces is guarded: somebody may have removed all the rules there were.
fn is_guarded(entries: &BTreeSet<Entry>, nft: &Tool) -> Result<bool, Failure> {
    let said = nft.run(&["list", "chain", "inet", TABLE, "forward"], "", None)?;
    let rules = String::from_utf8_lossy(&said.output);
    Ok(said.complaint.is_none() && guards(&rules, entries))
}

fn guards(rules: &str, entries: &BTreeSet<Entry>) -> bool {
    let guards = |entry: &Entry| {
        let condition = condition(entry);
        let mut lines = rules.lines().map(str::trim);
        lines.any(|line| line.starts_with(&condition) && line.ends_with("drop"))
    };
    !entries.is_empty() && entries.iter().all(guards)
}

/// Packets that came in by an interface and are not for a sandbox.
fn condition((family, interface): &Entry) -> String {
    format!("meta nfproto {family} iifname \"{interface}\" oifname != \"vf-*\" ")
}

/// Keeps the interfaces that were turned on from forwarding for others than sandboxes.
fn guard(entries: &BTreeSet<Entry>, nft: &Tool) -> Result<(), Failure> {
    let script = guard_script(entries);
    nft.run_ok("guard the host's interfaces", &["-f", "-"], &script, None)?;
    Ok(())
}

fn guard_script(entries: &BTreeSet<Entry>) -> String {
    let mut script = format!("destroy table inet {TABLE}\n");
    if entries.is_empty() {
        return script;
    }
    script += &format!(
        "table inet {TABLE} {{\n  chain forward {{\n    type filter hook forward priority -20; policy accept;\n"
    );
    for entry in entries {
        writeln!(script, "    {}counter drop", condition(entry)).ok();
    }
    script + "  }\n}\n"
}

/// The interfaces the host has a way to somebody on.
fn interfaces(family: &Family, ip: &Tool) -> Result<BTreeSet<String>, Failure> {
    let arguments = [
        "-json",
        family.option,
        "route",
        "show",
        "table",
        "all",
        "type",
        "unicast",
    ];
    let routes = ip.run_ok("read the host's routes", &arguments, "", None)?;
    Ok(devices(&routes))
}

fn devices(routes: &[u8]) -> BTreeSet<String> {
    let routes: Vec<serde_json::Value> = serde_json::from_slice(routes).unwrap_or_default();
    let next_hops = |route: &serde_json::Value| {
        let several = route["nexthops"].as_array().cloned().unwrap_or_default();
        let all = std::iter::once(route.clone()).chain(several);
        all.filter_map(|hop| hop["dev"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let plain = |name: &String| {
        name != "lo"
            && !name.starts_with("vf-")
            && name.len() < 16
            && name
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"-_.:@".contains(&c))
            && name != "."
            && name != ".."
    };
    routes.iter().flat_map(next_hops).filter(plain).collect()
}

/// A family and an interface that was made to forward it.
type Entry = (String, String);

/// What was turned on, in a file that is locked while it is held.
struct Ledger {
    file: File,
    entries: BTreeSet<Entry>,
}

impl Ledger {
    fn path() -> PathBuf {
        Path::new(places::PINS).join("forwarding")
    }

    fn open(deadline: Deadline) -> io::Result<Self> {
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(Self::path())?;
            while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
                if deadline.is_over() {
                    return Err(error.into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            // Who had the lock before may have removed the file.
            let current = fs::metadata(Self::path()).map(|meta| meta.ino());
            if current.is_ok_and(|ino| file.metadata().is_ok_and(|meta| meta.ino() == ino)) {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                let entries = text
                    .lines()
                    .filter_map(|line| line.split_once(' '))
                    .map(|(family, interface)| (family.to_owned(), interface.to_owned()))
                    .collect();
                return Ok(Self { file, entries });
            }
        }
    }

    fn add(&mut self, family: &str, interface: &str) -> io::Result<()> {
        self.entries
            .insert((family.to_owned(), interface.to_owned()));
        self.file.seek(io::SeekFrom::End(0))?;
        writeln!(self.file, "{family} {interface}")
    }

    /// Writes what is left, or removes the file with the last entry.
    fn finish(mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return fs::remove_file(Self::path());
        }
        let lines: Vec<String> = self
            .entries
            .iter()
            .map(|(f, i)| format!("{f} {i}\n"))
            .collect();
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(lines.concat().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_out() {
        let routes = br#"[
            {"dst":"default","gateway":"192.0.2.1","dev":"eth0"},
            {"dst":"192.0.2.0/24","dev":"eth0"},
            {"dst":"default","nexthops":[{"dev":"wlan0"},{"dev":"wwan0.3"}]},
            {"dst":"127.0.0.0/8","dev":"lo"},
            {"dst":"10.181.192.0/30","dev":"vf-00000001"},
            {"dst":"10.0.0.0/8","dev":"x\"; drop"},
            {"dst":"10.0.0.0/8"}
        ]"#;
        let found: Vec<String> = devices(routes).into_iter().collect();
        assert_eq!(found, ["eth0", "wlan0", "wwan0.3"]);
        assert!(devices(b"x").is_empty());
    }

    #[test]
    fn others_are_not_forwarded_for() {
        assert_eq!(
            guard_script(&BTreeSet::new()),
            "destroy table inet forage_forwarding\n"
        );
        let entry = |family: &str, interface: &str| (family.to_owned(), interface.to_owned());
        let entries = [entry("ipv4", "eth0"), entry("ipv6", "eth0")].into();
        let script = guard_script(&entries);
        assert!(
            script.contains("meta nfproto ipv4 iifname \"eth0\" oifname != \"vf-*\" counter drop"),
            "{script}"
        );
        assert!(script.contains("meta nfproto ipv6"), "{script}");
        assert!(guards(&script, &entries));
        let listed = script.replace("counter", "counter packets 3 bytes 4");
        assert!(guards(&listed, &entries));
        let more = [entry("ipv4", "eth0"), entry("ipv4", "eth1")].into();
        assert!(!guards(&listed, &more) && !guards("", &entries));
        assert!(!guards(&listed, &BTreeSet::new()));
    }
}
