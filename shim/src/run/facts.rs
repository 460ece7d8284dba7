//! What a run is like, as the daemon and the sandbox's owner are told. The steps of the start add
//! what they find out to `Run::facts` and say so with [`Run::tell_facts`].

use forage_api::config::{Base, Network};
use forage_api::places;
use forage_api::shim::control::Event;
use forage_api::shim::facts::{Facts, MountFact, MountKind, NetworkFacts};
use jiff::Timestamp;

use super::Run;
use crate::admission::Admitted;
use crate::limits;
use crate::sys::time::boot_time_ns;

/// What is known before anything is done.
pub(super) fn at_start(sandbox: &Admitted) -> Facts {
    Facts {
        started_at: Timestamp::now(),
        boot_time_ns: boot_time_ns(),
        system: match &sandbox.template.base {
            Base::System { system } => Some(system.clone()),
            Base::Tree { .. } => None,
        },
        limits: limits::facts(&sandbox.template.resource_limits),
        network: NetworkFacts {
            mode: sandbox.template.network.as_str().to_owned(),
            ..NetworkFacts::default()
        },
        mounts: mounts(sandbox),
    }
}

fn mounts(sandbox: &Admitted) -> Vec<MountFact> {
    let own = places::workspace(sandbox.id());
    let workspace = sandbox.record.repository.as_ref().unwrap_or(&own);
    let fact = |path: &str, what, source: Option<String>, writable| MountFact {
        path: path.to_owned(),
        what,
        source,
        writable,
    };
    let inside = sandbox.template.workspace_path.to_string_lossy();
    let source = workspace.to_string_lossy().into_owned();
    let store = || fact("/nix/store", MountKind::Store, None, false);
    let system = matches!(sandbox.template.base, Base::System { .. });
    let mut all = vec![
        fact("/", MountKind::Root, None, true),
        fact(&inside, MountKind::Workspace, Some(source), true),
        fact(places::INSIDE_SECRETS, MountKind::Secrets, None, false),
        fact(places::INSIDE_WRAPPERS, MountKind::Wrappers, None, false),
    ];
    all.extend(system.then(store));
    all.extend(sandbox.config_dirs.iter().map(|directory| {
        let source = directory.source.to_string_lossy().into_owned();
        let inside = directory.inside.to_string_lossy();
        fact(
            &inside,
            MountKind::Config,
            Some(source),
            !directory.read_only,
        )
    }));
    if sandbox.template.network == Network::Full {
        let network = fact(places::INSIDE_NETWORK, MountKind::Network, None, false);
        all.push(network);
    }
    all
}

impl Run<'_> {
    /// Tells the daemon what has become of the facts.
    pub(super) fn tell_facts(&mut self) {
        self.tell_event(Event::Facts(Box::new(self.facts.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::admitted;

    #[test]
    fn what_is_seen_inside() {
        let mut sandbox = admitted();
        let facts = at_start(&sandbox);
        assert_eq!(facts.network.mode, "none");
        let seen: Vec<(&str, bool)> = facts
            .mounts
            .iter()
            .map(|mount| (mount.path.as_str(), mount.writable))
            .collect();
        let expected = [
            ("/", true),
            ("/workspace", true),
            ("/run/secrets", false),
            ("/run/forage/bin", false),
        ];
        assert_eq!(seen, expected);
        let own = Some("/var/lib/firefly-forage/workspaces/00000abc");
        assert_eq!(facts.mounts[1].source.as_deref(), own);
        sandbox.record.repository = Some("/home/alice/repo".into());
        let source = at_start(&sandbox).mounts[1].source.clone();
        assert_eq!(source.as_deref(), Some("/home/alice/repo"));
        sandbox.template.network = Network::Full;
        let last = at_start(&sandbox).mounts.pop().unwrap();
        assert_eq!(last.path, "/run/forage/net");
    }
}
