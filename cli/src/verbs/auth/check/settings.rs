//! Settings of Claude Code that name another credential. Of their content only the keys are looked at.

use std::collections::BTreeMap;

use forage_api::provider::{CLAUDE_MANAGED_SETTINGS, Vendor};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::finding::Finding;
use super::inside::Inside;
use crate::Error;

/// Gives each file there is: its name, a NUL, its content, a NUL. Its content is JSON, which has none.
const SCRIPT: &str = r#"
own=$1
give() {
  [ -f "$2" ] || return 0
  printf '%s\0' "$1"
  head -c 65536 -- "$2"
  printf '\0'
}
claude=${CLAUDE_CONFIG_DIR:-$HOME/.claude}
give user "$claude/settings.json"
give user-local "$claude/settings.local.json"
give state "$HOME/.claude.json"
give project .claude/settings.json
give project-local .claude/settings.local.json
give managed /etc/claude-code/managed-settings.json
for file in /etc/claude-code/managed-settings.d/*.json; do
  [ "$file" = "$own" ] || give managed-more "$file"
done
printf 'end\0\0'
"#;

/// The files, as the script calls them and as people do.
const FILES: [(&str, &str); 7] = [
    ("user", "settings.json in ~/.claude"),
    ("user-local", "settings.local.json in ~/.claude"),
    ("state", "~/.claude.json"),
    ("project", ".claude/settings.json in the workspace"),
    (
        "project-local",
        ".claude/settings.local.json in the workspace",
    ),
    ("managed", "/etc/claude-code/managed-settings.json"),
    (
        "managed-more",
        "a file in /etc/claude-code/managed-settings.d",
    ),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    api_key_helper: Option<IgnoredAny>,
    primary_api_key: Option<IgnoredAny>,
    env: Option<BTreeMap<String, Option<IgnoredAny>>>,
}

/// Looks at the settings in a sandbox.
pub(super) fn look(inside: &Inside<'_>) -> Result<Vec<Finding>, Error> {
    let (directory, file) = CLAUDE_MANAGED_SETTINGS;
    let own = format!("{directory}/{file}");
    let said = inside.script(SCRIPT, &[&own])?;
    Ok(findings(said.output.expose()))
}

fn findings(said: &[u8]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut parts = said.split(|byte| *byte == 0);
    let mut complete = false;
    while let (Some(name), Some(content)) = (parts.next(), parts.next()) {
        complete |= name == b"end";
        let file = FILES.iter().find(|(known, _)| known.as_bytes() == name);
        if let Some((_, file)) = file {
            found.extend(of_file(file, content));
        }
    }
    if !complete {
        found.push(Finding::new(
            "the settings of Claude Code in the sandbox could not all be read",
            "what competes in them may have been missed",
        ));
    }
    found
}

fn of_file(file: &str, content: &[u8]) -> Vec<Finding> {
    // Claude Code leaves out what it cannot read, too.
    let Ok(settings) = serde_json::from_slice::<Settings>(content) else {
        return Vec::new();
    };
    let advice = "remove it there, unless it is meant to take the place of what was delivered";
    let found = |what: &str| Finding::new(format!("{what} is set by {file}"), advice);
    let mut all = Vec::new();
    if settings.api_key_helper.is_some() {
        all.push(found("apiKeyHelper"));
    }
    if settings.primary_api_key.is_some() {
        all.push(found("primaryApiKey"));
    }
    let known = Vendor::Anthropic.variables();
    let set = settings.env.unwrap_or_default();
    let set = set.iter().filter(|(_, value)| value.is_some());
    let competing = set.filter(|(name, _)| known.contains(&name.as_str()));
    all.extend(competing.map(|(name, _)| found(name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(said: &[u8]) -> Vec<String> {
        findings(said).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn keys_that_compete() {
        let said = [
            &b"user\0{\"apiKeyHelper\":\"CANARY\",\"env\":{\"ANTHROPIC_API_KEY\":\"CANARY\",\"A\":\"b\"}}\0"[..],
            b"state\0{\"primaryApiKey\":\"CANARY\",\"projects\":{}}\0",
            b"project\0{\"apiKeyHelper\":null,\"env\":{\"ANTHROPIC_AUTH_TOKEN\":null}}\0",
            b"managed\0not JSON CANARY\0",
            b"CANARY\0{\"apiKeyHelper\":\"x\"}\0",
            b"end\0\0",
        ];
        assert_eq!(
            whats(&said.concat()),
            [
                "apiKeyHelper is set by settings.json in ~/.claude",
                "ANTHROPIC_API_KEY is set by settings.json in ~/.claude",
                "primaryApiKey is set by ~/.claude.json",
            ]
        );
        assert!(whats(b"end\0\0").is_empty());
        assert!(whats(b"user\0{}").len() == 1 && whats(b"").len() == 1);
    }
}
