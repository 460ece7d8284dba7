//! Removing what a run's network leaves on the host, in a bounded time and however far the run came.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use forage_api::ident::SandboxId;
use forage_api::{Failure, places};

use super::addresses::interface;
use super::tool::Tool;
use super::{PATIENCE, conntrack, foreign, forwarding, rules};
use crate::fail::start;
use crate::sys::time::Deadline;

/// The file that says that a sandbox's run made a network.
pub fn marker(id: SandboxId) -> PathBuf {
    Path::new(places::PINS).join(format!("{id}.network"))
}

/// Tells whether a run's network was not removed.
pub fn is_left(id: SandboxId) -> bool {
    marker(id).exists()
}

/// Removes what a run's network leaves: the link first, so that no packet passes without its rules.
///
/// # Errors
/// A tool fails, is late, or is gone. The next start begins anew.
pub fn remove(id: SandboxId) -> io::Result<()> {
    let deadline = Deadline::after(PATIENCE);
    let removed = remove_own(id, deadline);
    // Also after one that failed, or was cut off before.
    let forwarding = forwarding::disable(any_network, deadline);
    removed.and(forwarding).map_err(|failure| {
        io::Error::other(format!("{failure} (starting the sandbox tries again)"))
    })
}

fn remove_own(id: SandboxId, deadline: Deadline) -> Result<(), Failure> {
    let marker = marker(id);
    let vf = interface(id);
    let has_link = || Path::new("/sys/class/net").join(&vf).exists();
    if !has_link() && !marker.exists() {
        return Ok(());
    }
    if has_link() {
        let ip = Tool::require("ip", "iproute2")?.by(deadline);
        let removed = ip.run_ok("remove the link", &["link", "delete", "dev", &vf], "", None);
        // The end of the container takes its link along.
        if let Err(failure) = removed
            && has_link()
        {
            return Err(failure);
        }
    }
    let table = rules::table(id);
    let script = format!("destroy table netdev {table}\ndestroy table inet {table}\n");
    let nft = Tool::require("nft", "nftables")?.by(deadline);
    // The marker stays while the rules do: the next attempt begins here again.
    nft.run_ok("remove the rules", &["-f", "-"], &script, None)?;
    // The next sandbox with these addresses looks for itself whether there are connections left.
    if let Err(error) = conntrack::forget(&parties(&marker), deadline) {
        tracing::warn!(
            FORAGE_EVENT = "network",
            "cannot remove the sandbox's connections: {error}"
        );
    }
    foreign::take_back(&vf, &nft, deadline);
    crate::report::remove_if_there(&marker)
        .map_err(|error| start("remove the note of the network", error))
}

/// The addresses that are noted in a marker.
fn parties(marker: &Path) -> Vec<IpAddr> {
    let text = fs::read_to_string(marker).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Tells whether a sandbox has a network, or the host could not be asked. One whose link is still to be
/// made sees to forwarding then.
fn any_network() -> bool {
    let Ok(links) = fs::read_dir("/sys/class/net") else {
        return true;
    };
    links.flatten().any(|link| {
        let name = link.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix("vf-"));
        id.is_some_and(|id| id.parse::<SandboxId>().is_ok())
    })
}
