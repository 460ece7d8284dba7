//! Who resolves names for a sandbox: whoever does for the host's uplinks, as a `resolv.conf` in a
//! directory that is bound into the sandbox, so that it follows the host from network to network.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use forage_api::places;
use nix::ifaddrs::getifaddrs;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, open, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::sys::files::open_in_root;

/// Where the host's own is, best first: those of the uplinks before what may name a local stub.
pub const SOURCES: [&str; 4] = [
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/NetworkManager/resolv.conf",
    "/etc/resolv.conf",
];

/// The file's name in the directory that is bound.
pub const FILE: &str = "resolv.conf";

/// The most that is read of a source, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// More than these the resolver of the C library does not use.
const MAX_SERVERS: usize = 3;
const MAX_DOMAINS: usize = 6;

/// What a sandbox is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Their addresses.
    pub servers: Vec<IpAddr>,
    domains: Vec<String>,
    options: Vec<String>,
}

impl Resolvers {
    /// What the host says now, of the first source that names one the sandbox can reach.
    pub fn of_host(with_v6: bool) -> Self {
        let own = own_addresses();
        let reachable = |server: &IpAddr| {
            (with_v6 || server.is_ipv4()) && is_global(server) && !own.contains(server)
        };
        let found = SOURCES.iter().filter_map(|source| {
            let text = read(Path::new(source)).ok()?;
            Some(Self::parse(&text, reachable)).filter(|found| !found.servers.is_empty())
        });
        found.into_iter().next().unwrap_or_default()
    }

    /// Reads the text of a `resolv.conf`, of which only what is understood is taken over.
    fn parse(text: &str, reachable: impl Fn(&IpAddr) -> bool) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse().ok());
                    let server = server.filter(|s| reachable(s) && !found.servers.contains(s));
                    found.servers.extend(server);
                }
                Some("search" | "domain") => {
                    let domains = words.filter(|word| is_domain(word)).map(str::to_owned);
                    found.domains = domains.take(MAX_DOMAINS).collect();
                }
                Some("options") => {
                    for word in words.filter(|word| is_option(word)) {
                        if !found.options.iter().any(|known| known == word) {
                            found.options.push(word.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        found.servers.truncate(MAX_SERVERS);
        found
    }

    /// Puts it into a directory, in the place of what was there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let fresh = directory.join(".fresh");
        fs::write(&fresh, self.to_string())?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644))?;
        fs::rename(&fresh, directory.join(FILE))
    }
}

impl fmt::Display for Resolvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# The resolvers of the host's uplinks; follows the host."
        )?;
        for server in &self.servers {
            writeln!(f, "nameserver {server}")?;
        }
        for (key, words) in [("search", &self.domains), ("options", &self.options)] {
            if !words.is_empty() {
                writeln!(f, "{key} {}", words.join(" "))?;
            }
        }
        Ok(())
    }
}

/// Makes `/etc/resolv.conf` of a sandbox's root a link to what it is told.
///
/// # Errors
/// What the file system says.
pub fn point_to(root: &Path, base: u32) -> io::Result<()> {
    const NAME: &str = "resolv.conf";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(root, flags, Mode::empty())?;
    let etc = open_in_root(root.as_fd(), Path::new("/etc"), flags)?;
    match unlinkat(&etc, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    symlinkat(format!("{}/{FILE}", places::INSIDE_NETWORK), &etc, NAME)?;
    let (uid, gid) = (Uid::from_raw(base), Gid::from_raw(base));
    Ok(chownat(
        &etc,
        NAME,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn read(path: &Path) -> io::Result<String> {
    // Whatever is there, this waits for nobody.
    let file = File::options()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Tells whether an address can be another machine's at all, and one a sandbox may reach.
fn is_global(server: &IpAddr) -> bool {
    match server {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            let link_local = v6.segments()[0] & 0xffc0 == 0xfe80;
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || link_local
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

/// The host's own addresses: a sandbox does not reach them.
fn own_addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| interface.address);
    addresses
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
        })
        .collect()
}

fn is_domain(word: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    let word = word.strip_suffix('.').unwrap_or(word);
    word.len() <= 253 && word.split('.').all(label)
}

fn is_option(word: &str) -> bool {
    let plain = [
        "edns0",
        "no-aaaa",
        "rotate",
        "single-request",
        "single-request-reopen",
        "use-vc",
    ];
    let counted = |(key, number): (&str, &str)| {
        let most = match key {
            "ndots" => 15,
            "timeout" => 30,
            "attempts" => 5,
            _ => return false,
        };
        number.bytes().all(|c| c.is_ascii_digit()) && number.parse().is_ok_and(|n: u8| n <= most)
    };
    plain.contains(&word) || word.split_once(':').is_some_and(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let all = Resolvers::parse(text, is_global).to_string();
        all.lines().skip(1).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn only_what_is_understood_is_taken_over() {
        for (text, expected) in [
            ("", ""),
            ("nameserver 9.9.9.9\n", "nameserver 9.9.9.9"),
            (
                "  nameserver\t192.168.1.1 # router\nnameserver 2620:fe::fe",
                "nameserver 192.168.1.1\nnameserver 2620:fe::fe",
            ),
            (
                "nameserver 127.0.0.53\nnameserver ::1\nnameserver 0.0.0.0\nnameserver ::",
                "",
            ),
            (
                "nameserver 169.254.169.254\nnameserver fe80::1%eth0\nnameserver fe80::1\nnameserver ff02::1",
                "",
            ),
            (
                "nameserver ::ffff:127.0.0.1\nnameserver 224.0.0.251\nnameserver 255.255.255.255",
                "",
            ),
            (
                "nameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 1.0.0.1\nnameserver 8.8.8.8\nnameserver 8.8.4.4",
                "nameserver 1.1.1.1\nnameserver 1.0.0.1\nnameserver 8.8.8.8",
            ),
            (
                "nameserver 1.1.1\nnameserver\nnameserver $(id)\nNAMESERVER 1.1.1.1\nserver 1.1.1.1",
                "",
            ),
            (
                "search .\nsearch a.example b_c.example. $x ../y",
                "search a.example b_c.example.",
            ),
            (
                "domain one.example\nsearch two.example",
                "search two.example",
            ),
            (
                "options ndots:2 ndots:99 timeout:5 edns0 edns0 trust-ad debug rotate\noptions attempts:x inet6",
                "options ndots:2 timeout:5 edns0 rotate",
            ),
            (
                "nameserver 1.1.1.1\r\nsortlist 1.1.1.1\n; x\n#y",
                "nameserver 1.1.1.1",
            ),
        ] {
            assert_eq!(written(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        for server in ["9.9.9.9", "1.1.1.1"] {
            let resolvers = Resolvers::parse(&format!("nameserver {server}"), is_global);
            resolvers.write(directory.path()).unwrap();
            let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
            assert!(text.ends_with(&format!("nameserver {server}\n")), "{text}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_hosts_own_addresses_are_known() {
        let own = own_addresses();
        assert!(own.contains(&"127.0.0.1".parse().unwrap()), "{own:?}");
        assert!(!own.contains(&"192.0.2.1".parse().unwrap()), "{own:?}");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&pipe).is_err());
        assert!(read(directory.path()).is_err());
        assert!(read(Path::new("/dev/zero")).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_the_same(text in "(nameserver [0-9a-f.:]{1,20}\n|search [a-z. ]{0,30}\n|options [a-z0-9: ]{0,20}\n|.{0,20}\n){0,8}") {
            let once = Resolvers::parse(&text, is_global);
            proptest::prop_assert!(once.servers.len() <= MAX_SERVERS);
            proptest::prop_assert!(once.servers.iter().all(is_global));
            proptest::prop_assert_eq!(Resolvers::parse(&once.to_string(), is_global), once);
        }
    }
}
