//! Deciding whether a sandbox may run, from its record (which the daemon wrote) checked against the
//! configuration and the host's accounts (which root owns).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forage_api::config::{self, ConfigDir, CredentialPlan, Range4, Range6, Template};
use forage_api::ident::{SandboxId, SecretName};
use forage_api::record::{Phase, SandboxRecord};
use forage_api::{ErrorKind, Failure, places};

use crate::accounts::{self, Account, DaemonUser};
use crate::config_dir;

/// A sandbox that may run.
#[derive(Debug)]
pub struct Admitted {
    /// Its record.
    pub record: SandboxRecord,
    /// What it is made from.
    pub template: Template,
    /// The secret files its template uses.
    pub secrets: BTreeMap<SecretName, PathBuf>,
    /// The configuration directories of its agents, where they lie on the host.
    pub config_dirs: Vec<ConfigDir>,
    /// Where sandboxes have their addresses from.
    pub ranges: (Range4, Range6),
    /// How long it may take to become ready.
    pub start_timeout: Duration,
    /// How long its services have to stop.
    pub stop_timeout: Duration,
    /// Its owner.
    pub owner: Account,
    /// The user the daemon runs as.
    pub daemon: DaemonUser,
}

impl Admitted {
    /// The sandbox's id.
    pub fn id(&self) -> SandboxId {
        self.record.id
    }

    /// The host uid and gid of the sandbox's root.
    pub fn base(&self) -> u32 {
        self.record.slot.base()
    }

    /// The host uid of the sandbox's agent.
    pub fn agent_uid(&self) -> u32 {
        self.base() + u32::from(self.template.agent_uid)
    }

    /// The host gid of the sandbox's agent.
    pub fn agent_gid(&self) -> u32 {
        self.base() + u32::from(self.template.agent_gid)
    }
}

/// Admits a sandbox, or says why it may not run.
///
/// # Errors
/// The record, the configuration, the owner or the template is not as it must be.
pub fn admit(id: SandboxId) -> Result<Admitted, Failure> {
    let config = config::load(Path::new(places::CONFIG))
        .map_err(|error| Failure::new(ErrorKind::InvalidConfig, error.to_string()))?;
    let daemon = accounts::daemon()?;
    let record = crate::record::read(id, daemon.uid)?;
    if record.phase == Phase::Removing {
        return Err(Failure::new(
            ErrorKind::Busy,
            "the sandbox is being removed",
        ));
    }
    let owner = accounts::owner(record.owner)?;
    let template = config.templates.get(&record.template).ok_or_else(|| {
        Failure::new(
            ErrorKind::NoSuchTemplate,
            format!("the configuration has no template {}", record.template),
        )
        .hint("see the templates there are: forage-ctl templates")
    })?;
    let mut secrets = BTreeMap::new();
    for (_, credential) in template.credentials() {
        if let CredentialPlan::Secret(name) = credential.plan {
            let path = config.secrets.get(&name).ok_or_else(|| {
                Failure::new(
                    ErrorKind::NoSuchSecret,
                    format!("the configuration has no secret {name}"),
                )
            })?;
            secrets.insert(name, path.clone());
        }
    }
    Ok(Admitted {
        config_dirs: config_dir::located(template.config_dirs(), record.owner)?,
        template: template.clone(),
        secrets,
        ranges: (config.address_range, config.address_range6),
        start_timeout: Duration::from_secs(config.start_timeout.into()),
        stop_timeout: Duration::from_secs(config.stop_timeout.into()),
        owner,
        daemon,
        record,
    })
}
