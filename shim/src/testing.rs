//! Values for unit tests.

use std::collections::BTreeMap;
use std::time::Duration;

use forage_api::config::{Range4, Range6, Template};
use forage_api::ident::{SandboxId, Slot};
use forage_api::record::{Phase, SandboxRecord, VERSION};

use crate::accounts::{Account, DaemonUser};
use crate::admission::Admitted;

/// A template from its keys.
pub(crate) fn template(keys: &str) -> Template {
    let text = format!(
        "[secrets]\nanthropic = \"/s/a\"\nopenai = \"/s/o\"\n[templates.t]\nroot = \"/srv/t\"\n{keys}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let config = forage_api::config::parse(file.path()).unwrap();
    config.templates[&"t".parse().unwrap()].clone()
}

/// An admitted sandbox of a template with one Claude agent.
pub(crate) fn admitted() -> Admitted {
    Admitted {
        record: SandboxRecord {
            version: VERSION,
            id: SandboxId::new(0xabc),
            owner: 1000,
            slot: Slot::try_from(3).unwrap(),
            name: "s1".parse().unwrap(),
            template: "t".parse().unwrap(),
            repository: None,
            created_at: "2026-03-19T21:00:00Z".parse().unwrap(),
            phase: Phase::Created,
            delete_workspace: false,
            revoked_at: None,
        },
        template: template("[templates.t.agents.claude]\ncommand = \"/usr/bin/claude\"\n"),
        secrets: BTreeMap::new(),
        config_dirs: Vec::new(),
        ranges: (Range4::DEFAULT, Range6::DEFAULT),
        start_timeout: Duration::from_secs(60),
        stop_timeout: Duration::from_secs(10),
        owner: Account {
            uid: 1000,
            gid: 1000,
            groups: vec![1000],
        },
        daemon: DaemonUser { uid: 990, gid: 990 },
    }
}

/// Where programs are on this machine: distributions differ.
pub(crate) fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// A program of this machine.
pub(crate) fn program(name: &str) -> String {
    let places = path();
    let mut found = std::env::split_paths(&places).map(|place| place.join(name));
    let found = found.find(|file| file.is_file());
    found.unwrap().to_str().unwrap().to_owned()
}
