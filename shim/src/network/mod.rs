//! A sandbox's network, `network = "full"`: a link between the sandbox and the host, both ends of
//! which are configured here, and the rules its packets are under.
//!
//! | part | what |
//! | --- | --- |
//! | [`addresses`] | the sandbox's addresses and names |
//! | [`clash`] | whether the host uses them already |
//! | [`link`], [`settings`] | the two ends |
//! | [`rules`], [`claim`] | the firewall, and how it is kept from being removed |
//! | [`forwarding`] | what the host must forward |
//! | [`resolver`] | who resolves names |
//! | [`tool`] | running `ip` and `nft` |
//!
//! Nothing of it waits for anything but the two tools, each of which has a deadline.

pub mod addresses;
pub mod claim;
pub mod clash;
pub mod forwarding;
pub mod link;
pub mod resolver;
pub mod rules;
pub mod settings;
pub mod tool;

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use forage_api::config::Network as Kind;
use forage_api::ident::SandboxId;
use forage_api::shim::facts::NetworkFacts;
use forage_api::{ErrorKind, Failure, places};

use crate::admission::Admitted;
use crate::fail::start;
use crate::root::Places;
use addresses::{Addresses, LENGTH4, LENGTH6, interface};
use claim::Claim;
use resolver::Resolvers;
use tool::Tool;

/// The network of a running sandbox.
#[derive(Debug)]
pub struct Network {
    id: SandboxId,
    addresses: Addresses,
    ports: Vec<forage_api::config::HostPort>,
    ip: Tool,
    nft: Tool,
    directory: PathBuf,
    with_v6: bool,
    claim: Option<Claim>,
    resolvers: Resolvers,
    warnings: Vec<String>,
}

impl Network {
    /// Checks that the sandbox's network can be made; `None` where it has none. Nothing is changed.
    ///
    /// # Errors
    /// There is no room for it, the host uses its addresses, or lacks a program.
    pub fn check(sandbox: &Admitted) -> Result<Option<Self>, Failure> {
        if sandbox.template.network == Kind::None {
            return Ok(None);
        }
        let id = sandbox.id();
        let addresses = Addresses::of(id, sandbox.record.slot, sandbox.ranges.0, sandbox.ranges.1)?;
        let ip = Tool::require("ip", "iproute2")?;
        let nft = Tool::require("nft", "nftables")?;
        for family in ["-4", "-6"] {
            let arguments = ["-json", family, "route", "show", "table", "all"];
            let said = ip.run(&arguments, "", None)?;
            // A host without IPv6 has no routes of it to show.
            if said.complaint.is_none() {
                clash::check(&said.output, &addresses)?;
            } else if family == "-4" {
                return Err(Failure::new(
                    ErrorKind::SandboxFailed,
                    format!(
                        "cannot read the host's routes: ip said: {}",
                        said.complaint.unwrap_or_default()
                    ),
                ));
            }
        }
        Ok(Some(Self {
            id,
            addresses,
            ports: sandbox.template.host_ports.clone(),
            ip,
            nft,
            directory: PathBuf::new(),
            with_v6: settings::has_v6("default") && forwarding::can_forward_v6(),
            claim: None,
            resolvers: Resolvers::default(),
            warnings: Vec::new(),
        }))
    }

    /// Makes what has to be there before the container begins: the directory with its resolvers.
    ///
    /// # Errors
    /// The directory cannot be made, or what a run before this one left cannot be removed.
    pub fn prepare(&mut self, sandbox: &Admitted, places: &Places) -> Result<(), Failure> {
        let directory = &places.network();
        let failed = |error: io::Error| start("make the directory of the resolvers", error);
        remove(self.id).map_err(|error| start("remove what is left of a network", error))?;
        fs::write(marker(self.id), "").map_err(|error| start("note the network", error))?;
        fs::create_dir(directory).map_err(failed)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        directory.clone_into(&mut self.directory);
        let gateway = directory.join("gateway");
        fs::write(&gateway, format!("{}\n", self.addresses.gateway4())).map_err(failed)?;
        fs::set_permissions(&gateway, fs::Permissions::from_mode(0o644)).map_err(failed)?;
        self.resolvers = Resolvers::of_host(self.with_v6);
        self.resolvers.write(&self.directory).map_err(failed)?;
        resolver::point_to(&places.root(), sandbox.base())
            .map_err(|error| start("make /etc/resolv.conf in the root", error))?;
        if self.resolvers.servers.is_empty() {
            self.warn_of_resolvers();
        }
        Ok(())
    }

    /// Configures both ends of the link, once there is one. The rules come before the link is up.
    ///
    /// # Errors
    /// A tool fails, or the kernel refuses.
    pub fn connect(&mut self, leader: BorrowedFd<'_>) -> Result<(), Failure> {
        let vf = interface(self.id);
        settings::apply(&vf)
            .map_err(|error| start("set up the host's end of the network", error))?;
        self.with_v6 &= settings::has_v6(&vf);
        let script = rules::rules(self.id, &self.addresses, &self.ports, self.with_v6);
        self.nft
            .run_ok("make the network's rules", &["-f", "-"], &script, None)?;
        let claim = Claim::take(&rules::table(self.id)).map_err(|error| {
            start("take over the network's rules", error).hint("network = \"full\" needs Linux 6.9")
        })?;
        self.claim = Some(claim);
        forwarding::enable(&vf, self.with_v6, &self.ip, &self.nft)?;
        let outside = link::outside(&self.addresses, &vf, self.with_v6);
        let batch = ["-batch", "-"];
        self.ip.run_ok(
            "configure the host's end of the network",
            &batch,
            &outside,
            None,
        )?;
        let inside = link::inside(&self.addresses, self.with_v6);
        self.ip.run_ok(
            "configure the sandbox's end of the network",
            &batch,
            &inside,
            Some(leader),
        )?;
        tracing::info!(
            FORAGE_EVENT = "network",
            "connected: {vf} with {}",
            self.addresses.inside4()
        );
        Ok(())
    }

    /// What the sandbox's owner is told of it.
    pub fn facts(&self) -> NetworkFacts {
        let at = &self.addresses;
        let mut addresses = vec![format!("{}/{LENGTH4}", at.inside4())];
        let mut gateways = vec![at.gateway4().to_string()];
        if self.with_v6 {
            addresses.push(format!("{}/{LENGTH6}", at.inside6()));
            gateways.push(at.gateway6().to_string());
        }
        NetworkFacts {
            mode: Kind::Full.as_str().to_owned(),
            interface: Some(interface(self.id)),
            addresses,
            gateways,
            resolvers: self
                .resolvers
                .servers
                .iter()
                .map(ToString::to_string)
                .collect(),
            warnings: self.warnings.clone(),
        }
    }

    fn warn_of_resolvers(&mut self) {
        let warning = "the host names no resolver a sandbox can reach; names are not resolved";
        tracing::warn!(FORAGE_EVENT = "network", "{warning}");
        self.warnings.push(warning.to_owned());
    }
}

/// The file that says that a sandbox's run made a network.
fn marker(id: SandboxId) -> PathBuf {
    Path::new(places::PINS).join(format!("{id}.network"))
}

/// Removes what a run's network leaves: the link first, so that no packet passes without its rules.
///
/// # Errors
/// A tool fails, or is gone.
pub fn remove(id: SandboxId) -> io::Result<()> {
    let marker = marker(id);
    let vf = interface(id);
    let has_link = Path::new("/sys/class/net").join(&vf).exists();
    if !has_link && !marker.exists() {
        return Ok(());
    }
    let broken = |failure: Failure| io::Error::other(failure.to_string());
    if has_link {
        let ip = Tool::require("ip", "iproute2").map_err(broken)?;
        let removed = ip.run_ok("remove the link", &["link", "delete", "dev", &vf], "", None);
        // The end of the container takes its link along.
        if let Err(failure) = removed
            && Path::new("/sys/class/net").join(&vf).exists()
        {
            return Err(broken(failure));
        }
    }
    let table = rules::table(id);
    let script = format!("destroy table netdev {table}\ndestroy table inet {table}\n");
    Tool::require("nft", "nftables")
        .and_then(|nft| nft.run_ok("remove the rules", &["-f", "-"], &script, None))
        .map_err(broken)?;
    crate::report::remove_if_there(&marker)?;
    forwarding::disable(any_network).map_err(broken)
}

/// Tells whether a sandbox has a network, or could not be asked.
fn any_network() -> bool {
    let Ok(mut entries) = fs::read_dir(places::PINS) else {
        return true;
    };
    entries.any(|entry| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "network"))
    })
}
