//! The shapes behind `--json`, as `docs/json.md` promises them: keys are added, never renamed or
//! taken away; a key that has nothing to say is `null`.

use std::collections::BTreeMap;

use forage_api::bus::{
    CredentialInfo, FailureInfo, LimitsInfo, MountInfo, NetworkInfo, SandboxInfo, TemplateInfo,
    TokenInfo,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::membership;
use crate::verbs::condition::{self, Condition};

/// What `ps` prints.
#[derive(Debug, Serialize)]
pub struct Sandboxes {
    sandboxes: Vec<Sandbox>,
}

/// One sandbox as `ps` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    id: String,
    name: String,
    owner: u32,
    owner_name: Option<String>,
    state: String,
    template: Option<String>,
    repository: Option<String>,
    workspace: String,
    created_at: Option<String>,
    uid_base: u32,
    agents: Vec<String>,
    credential_state: Option<&'static str>,
    credentials: Vec<Credential>,
    revoked_at: Option<String>,
    failure: Option<String>,
    hint: Option<String>,
}

/// One sandbox as `status` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(flatten)]
    sandbox: Sandbox,
    started_at: Option<String>,
    uptime: Option<u64>,
    system: Option<String>,
    newer_system: Option<String>,
    limits: Option<Limits>,
    network: Option<Network>,
    mounts: Vec<Mount>,
    last_failure: Option<LastFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    cpu_quota: Option<u32>,
    memory_max: Option<u64>,
    tasks_max: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    mode: String,
    interface: Option<String>,
    addresses: Vec<String>,
    gateways: Vec<String>,
    resolvers: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    path: String,
    what: String,
    source: Option<String>,
    writable: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LastFailure {
    at: String,
    message: String,
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    agent: String,
    method: String,
    delivery: String,
    effect: String,
    variable: Option<String>,
    file: String,
    source: String,
    expires_at: Option<String>,
    fingerprint: Option<String>,
    generation: u64,
    stale: Option<String>,
    revoked: bool,
}

/// What `auth status` prints.
#[derive(Debug, Serialize)]
pub struct Deliveries {
    sandboxes: Vec<Delivery>,
}

/// What the agents of one sandbox were given.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    id: String,
    name: String,
    owner: u32,
    owner_name: Option<String>,
    state: String,
    agents: Vec<String>,
    credential_state: Option<&'static str>,
    revoked_at: Option<String>,
    credentials: Vec<Delivered>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivered {
    #[serde(flatten)]
    credential: Credential,
    state: &'static str,
}

/// What `templates` prints.
#[derive(Debug, Serialize)]
pub struct Templates {
    templates: Vec<Template>,
}

#[derive(Debug, Serialize)]
struct Template {
    name: String,
    description: String,
    agents: Vec<String>,
    network: String,
}

/// What `claude token status` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    state: String,
    source: String,
    created_at: Option<String>,
    expires_at: Option<String>,
    days_left: Option<i64>,
    login_expires_at: Option<String>,
    sandboxes: Vec<String>,
    others: u32,
    warnings: Vec<String>,
}

impl Sandboxes {
    /// Sandboxes, with what their templates say of them.
    pub fn new(infos: Vec<SandboxInfo>, templates: &[TemplateInfo], now: Timestamp) -> Self {
        let mut names = Names::default();
        let sandboxes = infos.into_iter().map(|info| {
            let name = names.of(info.owner);
            Sandbox::new(info, name, templates, now)
        });
        Self {
            sandboxes: sandboxes.collect(),
        }
    }
}

/// The names of users, each asked for once.
#[derive(Default)]
struct Names(BTreeMap<u32, Option<String>>);

impl Names {
    fn of(&mut self, uid: u32) -> Option<String> {
        let name = self.0.entry(uid);
        name.or_insert_with(|| membership::user_name(uid)).clone()
    }
}

impl Deliveries {
    /// What sandboxes were given.
    pub fn new(infos: Vec<SandboxInfo>, templates: &[TemplateInfo], now: Timestamp) -> Self {
        let mut names = Names::default();
        let sandboxes = infos.into_iter().map(|info| {
            let owner_name = names.of(info.owner);
            Delivery::new(info, owner_name, templates, now)
        });
        Self {
            sandboxes: sandboxes.collect(),
        }
    }
}

impl Delivery {
    fn new(
        info: SandboxInfo,
        owner_name: Option<String>,
        templates: &[TemplateInfo],
        now: Timestamp,
    ) -> Self {
        let agents = condition::agents(&info, templates);
        let credential_state = Condition::worst(&info, now).map(Condition::as_str);
        let credentials = info.credentials.into_iter().map(|info| Delivered {
            state: Condition::of(&info, now).as_str(),
            credential: info.into(),
        });
        Self {
            id: info.id,
            name: info.name,
            owner: info.owner,
            owner_name,
            state: info.state,
            agents,
            credential_state,
            revoked_at: info.revoked_at,
            credentials: credentials.collect(),
        }
    }
}

impl Sandbox {
    /// A sandbox with the name of its owner, where the host knows one.
    pub fn new(
        info: SandboxInfo,
        owner_name: Option<String>,
        templates: &[TemplateInfo],
        now: Timestamp,
    ) -> Self {
        Self {
            agents: condition::agents(&info, templates),
            credential_state: Condition::worst(&info, now).map(Condition::as_str),
            id: info.id,
            name: info.name,
            owner: info.owner,
            owner_name,
            state: info.state,
            template: known(info.template),
            repository: info.repository,
            workspace: info.workspace,
            created_at: known(info.created_at),
            uid_base: info.uid_base,
            credentials: info.credentials.into_iter().map(Into::into).collect(),
            revoked_at: info.revoked_at,
            failure: info.failure,
            hint: info.hint,
        }
    }
}

impl Status {
    /// A sandbox with everything there is to say about it.
    pub fn new(
        mut info: SandboxInfo,
        owner_name: Option<String>,
        templates: &[TemplateInfo],
        now: Timestamp,
    ) -> Self {
        let mounts = info.mounts.take().unwrap_or_default();
        Self {
            started_at: info.started_at.take(),
            uptime: info.uptime,
            system: info.system.take(),
            newer_system: info.newer_system.take(),
            limits: info.limits.take().map(Into::into),
            network: info.network.take().map(Into::into),
            mounts: mounts.into_iter().map(Into::into).collect(),
            last_failure: info.last_failure.take().map(Into::into),
            sandbox: Sandbox::new(info, owner_name, templates, now),
        }
    }
}

impl From<LimitsInfo> for Limits {
    fn from(info: LimitsInfo) -> Self {
        Self {
            cpu_quota: info.cpu_quota,
            memory_max: info.memory_max,
            tasks_max: info.tasks_max,
        }
    }
}

impl From<NetworkInfo> for Network {
    fn from(info: NetworkInfo) -> Self {
        Self {
            mode: info.mode,
            interface: info.interface,
            addresses: info.addresses,
            gateways: info.gateways,
            resolvers: info.resolvers,
            warnings: info.warnings,
        }
    }
}

impl From<MountInfo> for Mount {
    fn from(info: MountInfo) -> Self {
        Self {
            path: info.path,
            what: info.what,
            source: info.source,
            writable: info.writable,
        }
    }
}

impl From<FailureInfo> for LastFailure {
    fn from(info: FailureInfo) -> Self {
        Self {
            at: info.at,
            message: info.message,
            hint: info.hint,
        }
    }
}

impl From<CredentialInfo> for Credential {
    fn from(info: CredentialInfo) -> Self {
        Self {
            agent: info.agent,
            method: info.method,
            delivery: info.delivery,
            effect: info.effect,
            variable: known(info.variable),
            file: info.file,
            source: info.source,
            expires_at: info.expires_at,
            fingerprint: info.fingerprint,
            generation: info.generation,
            stale: info.stale,
            revoked: info.revoked,
        }
    }
}

/// Text, unless it has nothing to say.
fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<Vec<TemplateInfo>> for Templates {
    fn from(infos: Vec<TemplateInfo>) -> Self {
        let templates = infos.into_iter().map(|info| Template {
            name: info.name,
            description: info.description,
            agents: info.agents,
            network: info.network,
        });
        Self {
            templates: templates.collect(),
        }
    }
}

impl From<TokenInfo> for Token {
    fn from(info: TokenInfo) -> Self {
        Self {
            state: info.state,
            source: info.source,
            created_at: info.created_at,
            expires_at: info.expires_at,
            days_left: info.days_left,
            login_expires_at: info.login_expires_at,
            sandboxes: info.sandboxes,
            others: info.others,
            warnings: info.warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    fn shown(value: &impl Serialize) -> String {
        serde_json::to_string_pretty(value).unwrap()
    }

    fn now() -> Timestamp {
        "2026-03-20T21:00:00Z".parse().unwrap()
    }

    fn sandbox(info: SandboxInfo, owner: Option<&str>) -> Sandbox {
        Sandbox::new(info, owner.map(Into::into), &samples::templates(), now())
    }

    fn status(info: SandboxInfo) -> Status {
        Status::new(info, Some("alice".into()), &samples::templates(), now())
    }

    #[test]
    fn the_documented_shapes() {
        insta::assert_snapshot!(shown(&sandbox(samples::running(), Some("alice"))));
        insta::assert_snapshot!(shown(&sandbox(samples::unreadable(), None)));
        insta::assert_snapshot!(shown(&Templates::from(samples::templates())));
        insta::assert_snapshot!(shown(&Token::from(samples::token())));
        insta::assert_snapshot!(shown(&Sandboxes::new(Vec::new(), &[], now())), @r#"
        {
          "sandboxes": []
        }
        "#);
        insta::assert_snapshot!(shown(&status(samples::unreadable())));
    }

    /// Every example of the document is what the program prints.
    #[test]
    fn the_document_shows_the_same() {
        let document = include_str!("../../../docs/json.md");
        let parsed = document
            .split("```json\n")
            .skip(1)
            .filter_map(|part| part.split("```").next())
            .map(|text| serde_json::from_str(text).unwrap());
        let shown: Vec<serde_json::Value> = parsed.collect();
        let sandboxes = Sandboxes {
            sandboxes: vec![sandbox(samples::running(), Some("alice"))],
        };
        let owner = Some("alice".into());
        let deliveries = Deliveries {
            sandboxes: vec![Delivery::new(
                samples::running(),
                owner,
                &samples::templates(),
                now(),
            )],
        };
        let printed = [
            serde_json::to_value(sandboxes).unwrap(),
            serde_json::to_value(status(samples::detailed())).unwrap(),
            serde_json::to_value(deliveries).unwrap(),
            serde_json::to_value(Templates::from(samples::templates())).unwrap(),
            serde_json::to_value(Token::from(samples::token())).unwrap(),
        ];
        assert_eq!(shown, printed);
    }
}
