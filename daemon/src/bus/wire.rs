//! What the core answers, as it travels; and what travels, as the core takes it.

use std::path::{Component, Path, PathBuf};

use forage_api::bus::{
    AuthOutcome, AuthReply, CredentialInfo, FailureInfo, LimitsInfo, MountInfo, NetworkInfo,
    SandboxInfo, SandboxState, StartReply, TemplateInfo, TokenInfo, TokenReply,
};
use forage_api::config::{DeliveryMode, Template};
use forage_api::ident::TemplateName;
use forage_api::shim::control::Delivered;
use forage_api::shim::facts::{Limits, MountFact, NetworkFacts};
use forage_api::{ErrorKind, Failure, places};
use jiff::Timestamp;

use crate::core::{self, AuthChange, Detail, SandboxStatus, Started, TokenChange, TokenStatus};

/// The longest path of a repository, in bytes.
const LONGEST_PATH: usize = 4096;

fn time(time: Timestamp) -> String {
    let seconds = Timestamp::from_second(time.as_second()).unwrap_or(time);
    seconds.to_string()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A sandbox.
pub(super) fn sandbox(mut status: SandboxStatus) -> SandboxInfo {
    let given = std::mem::take(&mut status.credentials).into_iter();
    let credentials = given
        .map(|delivered| credential(missing(delivered, &status)))
        .collect();
    let Detail {
        facts,
        uptime,
        newer_system,
        past,
    } = status.detail.map(|detail| *detail).unwrap_or_default();
    SandboxInfo {
        id: status.id.to_string(),
        name: status.name,
        owner: status.owner,
        template: status.template.unwrap_or_default(),
        state: status.state.to_string(),
        repository: status.repository.as_deref().map(text),
        workspace: text(&status.workspace),
        created_at: status.created_at.map(time).unwrap_or_default(),
        uid_base: status.uid_base,
        credentials,
        revoked_at: status.revoked_at.map(time),
        hint: status
            .failure
            .as_ref()
            .filter(|failure| !failure.hint.is_empty())
            .map(|failure| failure.hint.clone()),
        failure: status.failure.map(|failure| failure.message),
        started_at: facts.as_ref().map(|facts| time(facts.started_at)),
        uptime: uptime.map(|uptime| uptime.as_secs()),
        system: facts
            .as_ref()
            .and_then(|facts| facts.system.as_deref())
            .map(text),
        newer_system: newer_system.as_deref().map(text),
        limits: facts.as_ref().map(|facts| limits(&facts.limits)),
        mounts: facts
            .as_ref()
            .map(|facts| facts.mounts.iter().map(mount).collect()),
        network: facts.map(|facts| network(facts.network)),
        last_failure: past.map(|past| FailureInfo {
            at: time(past.at),
            message: past.failure.message,
            hint: Some(past.failure.hint).filter(|hint| !hint.is_empty()),
        }),
    }
}

fn limits(limits: &Limits) -> LimitsInfo {
    LimitsInfo {
        cpu_quota: limits.cpu_quota,
        memory_max: limits.memory_max,
        tasks_max: limits.tasks_max,
    }
}

fn mount(fact: &MountFact) -> MountInfo {
    MountInfo {
        path: fact.path.clone(),
        what: fact.what.as_str().to_owned(),
        source: fact.source.clone(),
        writable: fact.writable,
    }
}

fn network(facts: NetworkFacts) -> NetworkInfo {
    NetworkInfo {
        mode: facts.mode,
        interface: facts.interface,
        addresses: facts.addresses,
        gateways: facts.gateways,
        resolvers: facts.resolvers,
        warnings: facts.warnings,
    }
}

/// Says of a credential what has not reached the sandbox yet. A record that cannot be read gives nothing
/// back.
fn missing(delivered: Delivered, status: &SandboxStatus) -> Delivered {
    let (stale, readable) = (status.stale, status.state != SandboxState::Unreadable);
    let missed = match (status.revoked_at.is_some(), delivered.revoked) {
        (true, false) => "it is revoked, but that has not reached the sandbox yet",
        (false, true) if stale && readable => {
            "it is given again, but that has not reached the sandbox yet"
        }
        _ if stale && delivered.is_token() => {
            "a change of the token has not reached the sandbox yet"
        }
        _ => return delivered,
    };
    Delivered {
        stale: delivered.stale.or_else(|| Some(missed.to_owned())),
        ..delivered
    }
}

/// What one agent was given.
pub(super) fn credential(delivered: Delivered) -> CredentialInfo {
    CredentialInfo {
        agent: delivered.agent.to_string(),
        method: delivered.method.as_str().to_owned(),
        delivery: delivered.delivery.as_str().to_owned(),
        effect: match delivered.delivery {
            DeliveryMode::Env => "next-launch",
            DeliveryMode::File => "live",
        }
        .to_owned(),
        variable: delivered
            .variable
            .map(|name| name.to_string())
            .unwrap_or_default(),
        file: format!("{}/{}", places::INSIDE_SECRETS, delivered.file),
        source: delivered.source,
        expires_at: delivered.expires_at.map(time),
        fingerprint: delivered.fingerprint,
        generation: delivered.generation,
        stale: delivered.stale,
        revoked: delivered.revoked,
    }
}

/// The answer to a start.
pub(super) fn started(started: Started) -> StartReply {
    StartReply {
        sandbox: sandbox(started.sandbox),
        warnings: started.warnings,
        debug: started.debug,
    }
}

/// A template.
pub(super) fn template(name: &TemplateName, template: &Template) -> TemplateInfo {
    TemplateInfo {
        name: name.to_string(),
        description: template.description.clone(),
        agents: template.agents.keys().map(ToString::to_string).collect(),
        network: template.network.as_str().into(),
    }
}

/// The answer to a change of the token store.
pub(super) fn token_change(change: TokenChange) -> TokenReply {
    TokenReply {
        expires_at: change.expires_at.map(time),
        updated: change.updated,
        stale: change.stale,
        others: change.others,
        warnings: change.warnings,
    }
}

/// The answer to refreshing or revoking.
pub(super) fn auth(change: AuthChange) -> AuthReply {
    AuthReply {
        sandboxes: change.sandboxes.into_iter().map(outcome).collect(),
        warnings: change.warnings,
        debug: change.debug,
    }
}

fn outcome(outcome: core::AuthOutcome) -> AuthOutcome {
    AuthOutcome {
        name: outcome.name,
        state: outcome.state.to_string(),
        credentials: credentials(outcome.credentials),
        stale: outcome.stale,
        failure: outcome.failure.map(|failure| match &*failure.hint {
            "" => failure.message,
            hint => format!("{}; {hint}", failure.message),
        }),
    }
}

/// What agents were given.
pub(super) fn credentials(all: Vec<Delivered>) -> Vec<CredentialInfo> {
    all.into_iter().map(credential).collect()
}

/// A token.
pub(super) fn token(status: TokenStatus) -> TokenInfo {
    TokenInfo {
        state: status.state.as_str().into(),
        source: status.source.as_str().into(),
        created_at: status.created_at.map(time),
        expires_at: status.expires_at.map(time),
        days_left: status.days_left,
        login_expires_at: status.login_expires_at.map(time),
        sandboxes: status.sandboxes,
        others: status.others,
        warnings: status.warnings,
    }
}

/// The path of a repository. Whether its owner may use it is for the shim to find out, as its owner.
pub(super) fn repository(path: String) -> Result<PathBuf, Failure> {
    let refused = |message: &str| Failure::new(ErrorKind::InvalidRepository, message);
    if path.len() > LONGEST_PATH {
        return Err(refused("the path of the repository is too long"));
    }
    let path = PathBuf::from(path);
    if !path.is_absolute() {
        return Err(refused("the path of the repository is not absolute"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(
            refused("the path of the repository has '..' in it").hint("name the directory itself")
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for good in [
            "/",
            "/home/alice/a: \\ \n\"b",
            &format!("/{}", "x".repeat(4095)),
        ] {
            assert_eq!(repository(good.into()).unwrap(), Path::new(good));
        }
        for bad in [
            "",
            ".",
            "repo",
            "../x",
            "/a/../b",
            "/..",
            &format!("/{}", "x".repeat(4096)),
        ] {
            let failure = repository(bad.into()).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::InvalidRepository, "{bad}");
        }
    }

    #[test]
    fn times_have_whole_seconds() {
        let with_fraction: Timestamp = "2026-03-19T21:00:00.123Z".parse().unwrap();
        assert_eq!(time(with_fraction), "2026-03-19T21:00:00Z");
    }
}
