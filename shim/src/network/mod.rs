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
//! | [`foreign`], [`iptables`] | other firewalls on the host |
//! | [`conntrack`] | whose the connections were that had the addresses before |
//! | [`removal`] | taking all of it away |
//! | [`resolver`] | who resolves names |
//! | [`watch`], [`follow`] | noticing that the host changed networks, and following it |
//! | [`tool`], [`netlink`] | running `ip` and `nft`, and what they have no word for |
//!
//! Nothing of it waits for anything but the tools, which have a deadline. While the sandbox runs, a
//! child process waits for them.

pub mod addresses;
pub mod claim;
pub mod clash;
pub mod conntrack;
pub mod follow;
pub mod foreign;
pub mod forwarding;
pub mod iptables;
pub mod link;
pub mod netlink;
pub mod removal;
pub mod resolver;
pub mod rules;
pub mod settings;
pub mod tool;
pub mod watch;

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use forage_api::config::Network as Kind;
use forage_api::ident::SandboxId;
use forage_api::shim::facts::NetworkFacts;
use forage_api::{ErrorKind, Failure};

use crate::admission::Admitted;
use crate::fail::start;
use crate::root::Places;
use crate::sys::time::Deadline;
use addresses::{Addresses, LENGTH4, LENGTH6, interface};
use claim::Claim;
use follow::{Followed, Follower};
use resolver::Resolvers;
use tool::Tool;
use watch::Watch;

/// How long connecting a sandbox may take, and removing what its network leaves: less than systemd
/// waits for either of its processes.
const PATIENCE: Duration = Duration::from_secs(10);

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
    watch: Option<Watch>,
    follower: Follower,
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
            watch: None,
            follower: Follower::default(),
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
        removal::remove(self.id)
            .map_err(|error| start("remove what is left of a network", error))?;
        let at = &self.addresses;
        let parties = format!("{}\n{}\n", at.inside4(), at.inside6());
        fs::write(removal::marker(self.id), parties)
            .map_err(|error| start("note the network", error))?;
        fs::create_dir(directory).map_err(failed)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        directory.clone_into(&mut self.directory);
        let gateway = directory.join("gateway");
        fs::write(&gateway, format!("{}\n", self.addresses.gateway4())).map_err(failed)?;
        fs::set_permissions(&gateway, fs::Permissions::from_mode(0o644)).map_err(failed)?;
        let watch = Watch::begin(&resolver::SOURCES)
            .map_err(|error| start("watch the host's networks", error))?;
        self.watch = Some(watch);
        self.resolvers = Resolvers::of_host(self.with_v6);
        self.resolvers.write(&self.directory).map_err(failed)?;
        resolver::point_to(&places.root(), sandbox.base())
            .map_err(|error| start("make /etc/resolv.conf in the root", error))?;
        Ok(())
    }

    /// Configures both ends of the link, once there is one. The rules come before the link is up, and
    /// no connection is left that had the addresses before.
    ///
    /// # Errors
    /// A tool fails or is late, or the kernel refuses.
    pub fn connect(&mut self, leader: BorrowedFd<'_>) -> Result<(), Failure> {
        let deadline = Deadline::after(PATIENCE);
        let (ip, nft) = (self.ip.by(deadline), self.nft.by(deadline));
        let vf = interface(self.id);
        settings::apply(&vf)
            .map_err(|error| start("set up the host's end of the network", error))?;
        self.with_v6 &= settings::has_v6(&vf);
        let script = rules::rules(self.id, &self.addresses, &self.ports, self.with_v6);
        nft.run_ok("make the network's rules", &["-f", "-"], &script, None)?;
        let claim = Claim::take(&rules::table(self.id), deadline).map_err(|error| {
            start("take over the network's rules", error).hint("network = \"full\" needs Linux 6.9")
        })?;
        self.claim = Some(claim);
        let adapted = self.adapt(deadline)?;
        self.note(adapted);
        let parties = [
            self.addresses.inside4().into(),
            self.addresses.inside6().into(),
        ];
        conntrack::forget(&parties, deadline).map_err(|error| {
            start("remove connections that had the addresses before", error)
                .hint("network = \"full\" needs the kernel's module nf_conntrack_netlink")
        })?;
        let outside = link::outside(&self.addresses, &vf, self.with_v6);
        let batch = ["-batch", "-"];
        ip.run_ok(
            "configure the host's end of the network",
            &batch,
            &outside,
            None,
        )?;
        let inside = link::inside(&self.addresses, self.with_v6);
        ip.run_ok(
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

    /// Makes the host forward, and its other firewalls let pass what the sandbox's own rules do.
    fn adapt(&self, deadline: Deadline) -> Result<Followed, Failure> {
        let vf = interface(self.id);
        let (ip, nft) = (self.ip.by(deadline), self.nft.by(deadline));
        let notes = forwarding::enable(&vf, self.with_v6, (&ip, &nft), deadline)?;
        let firewalls = foreign::Firewalls::look(&nft)?;
        let warnings = firewalls.let_pass(&vf, &self.addresses, &self.ports, deadline);
        Ok(Followed { notes, warnings })
    }

    /// Takes note of what that came to. `true`: what there is to warn of is other than before.
    fn note(&mut self, adapted: Followed) -> bool {
        for note in adapted.notes {
            tracing::info!(FORAGE_EVENT = "forwarding", "{note}");
        }
        let mut warnings = adapted.warnings;
        if !self.with_v6 && settings::has_v6(&interface(self.id)) {
            warnings.push(NO_V6.to_owned());
        }
        warnings.extend(self.no_resolver());
        for warning in warnings.iter().filter(|w| !self.warnings.contains(w)) {
            tracing::warn!(FORAGE_EVENT = "network", "{warning}");
        }
        let changed = warnings != self.warnings;
        self.warnings = warnings;
        changed
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

    fn no_resolver(&self) -> Option<String> {
        let warning = "the host names no resolver a sandbox can reach; names are not resolved";
        self.resolvers
            .servers
            .is_empty()
            .then(|| warning.to_owned())
    }

    /// What becomes readable when the host changes networks, or was followed.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let changes = self.watch.iter().flat_map(Watch::fds);
        changes.chain(self.follower.fd())
    }

    /// When the sandbox is to follow the host.
    pub fn due(&self) -> Option<Deadline> {
        let changed = self.watch.as_ref().and_then(Watch::due);
        changed.into_iter().chain(self.follower.due()).min()
    }

    /// Takes note that the host changed something.
    pub fn hear(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.hear();
        }
    }

    /// Follows the host as far as it is time to. `true`: the facts are others now. What fails is
    /// logged: the sandbox runs on with what it has.
    pub fn follow(&mut self) -> bool {
        let warn = |what: &dyn std::fmt::Display| {
            tracing::warn!(FORAGE_EVENT = "network", "cannot follow the host: {what}");
        };
        let mut changed = match self.follower.ended() {
            Some(Ok(followed)) => self.note(followed),
            Some(Err(why)) => {
                warn(&why);
                false
            }
            None => false,
        };
        if let Some(watch) = &mut self.watch
            && watch.due().is_some_and(Deadline::is_over)
        {
            if let Err(error) = watch.renew(&resolver::SOURCES) {
                warn(&error);
            }
            changed |= self.follow_resolvers();
            // What changes before the link is there is seen when it is made.
            if self.claim.is_some() {
                self.follower.want();
            }
        }
        if self.claim.is_some() {
            let mut follower = std::mem::take(&mut self.follower);
            if let Err(error) = follower.begin(|deadline| self.adapt(deadline)) {
                warn(&error);
            }
            self.follower = follower;
        }
        changed
    }

    fn follow_resolvers(&mut self) -> bool {
        let now = Resolvers::of_host(self.with_v6);
        if now == self.resolvers {
            return false;
        }
        if let Err(error) = now.write(&self.directory) {
            tracing::warn!(
                FORAGE_EVENT = "network",
                "cannot write the resolvers: {error}"
            );
            return false;
        }
        self.resolvers = now;
        tracing::info!(FORAGE_EVENT = "network", "the host's resolvers changed");
        true
    }
}

/// Why a sandbox on a host with IPv6 has none.
const NO_V6: &str = "the sandbox has no IPv6: this kernel (before 6.17) forwards it only for the whole \
host, which net.ipv6.conf.all.forwarding does not allow";
