//! The shapes behind `--json`, as `docs/json.md` promises them: keys are added, never renamed or
//! taken away; a key that has nothing to say is `null`.

use std::collections::BTreeMap;

use forage_api::bus::{CredentialInfo, SandboxInfo, TemplateInfo, TokenInfo};
use serde::Serialize;

use crate::membership;

/// What `ps` prints.
#[derive(Debug, Serialize)]
pub struct Sandboxes {
    sandboxes: Vec<Sandbox>,
}

/// One sandbox; what `status` prints.
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
    credentials: Vec<Credential>,
    failure: Option<String>,
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    agent: String,
    variable: String,
    file: String,
    source: String,
    expires_at: Option<String>,
    fingerprint: Option<String>,
    generation: u64,
    stale: Option<String>,
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
    sandboxes: Vec<String>,
    others: u32,
    warnings: Vec<String>,
}

impl From<Vec<SandboxInfo>> for Sandboxes {
    fn from(infos: Vec<SandboxInfo>) -> Self {
        let mut names = BTreeMap::new();
        let mut owner_name = |uid| {
            names
                .entry(uid)
                .or_insert_with(|| membership::user_name(uid))
                .clone()
        };
        let sandboxes = infos.into_iter().map(|info| {
            let name = owner_name(info.owner);
            Sandbox::new(info, name)
        });
        Self {
            sandboxes: sandboxes.collect(),
        }
    }
}

impl Sandbox {
    /// A sandbox with the name of its owner, where the host knows one.
    pub fn new(info: SandboxInfo, owner_name: Option<String>) -> Self {
        let known = |text: String| (!text.is_empty()).then_some(text);
        Self {
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
            failure: info.failure,
            hint: info.hint,
        }
    }
}

impl From<CredentialInfo> for Credential {
    fn from(info: CredentialInfo) -> Self {
        Self {
            agent: info.agent,
            variable: info.variable,
            file: info.file,
            source: info.source,
            expires_at: info.expires_at,
            fingerprint: info.fingerprint,
            generation: info.generation,
            stale: info.stale,
        }
    }
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

    #[test]
    fn the_documented_shapes() {
        let running = Sandbox::new(samples::running(), Some("alice".into()));
        insta::assert_snapshot!(shown(&running));
        insta::assert_snapshot!(shown(&Sandbox::new(samples::unreadable(), None)));
        insta::assert_snapshot!(shown(&Templates::from(samples::templates())));
        insta::assert_snapshot!(shown(&Token::from(samples::token())));
        insta::assert_snapshot!(shown(&Sandboxes::from(Vec::new())), @r#"
        {
          "sandboxes": []
        }
        "#);
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
        let sandbox = Sandbox::new(samples::running(), Some("alice".into()));
        let sandboxes = Sandboxes {
            sandboxes: vec![Sandbox::new(samples::running(), Some("alice".into()))],
        };
        let printed = [
            serde_json::to_value(sandboxes).unwrap(),
            serde_json::to_value(sandbox).unwrap(),
            serde_json::to_value(Templates::from(samples::templates())).unwrap(),
            serde_json::to_value(Token::from(samples::token())).unwrap(),
        ];
        assert_eq!(shown, printed);
    }
}
