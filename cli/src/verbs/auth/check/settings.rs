//! Settings of Claude Code that name another credential. Of their content only the keys are looked at.

use std::collections::BTreeMap;

use forage_api::provider::{CLAUDE_MANAGED_SETTINGS, Vendor};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::finding::Finding;
use super::inside::Inside;
use crate::Error;

/// How much of a file is looked at: Claude Code's state grows to megabytes. And how much of all of them.
const LARGEST: usize = 8 * 1024 * 1024;
const MOST: usize = 4 * LARGEST;

/// Gives each file there is: its name, a NUL, its content, a NUL. Its content is JSON, which has none.
/// One byte more than is looked at tells that there is more.
const SCRIPT: &str = r#"
own=$1 most=$2
give() {
  [ -f "$2" ] || return 0
  printf '%s\0' "$1"
  head -c "$most" -- "$2"
  printf '\0'
}
claude=${CLAUDE_CONFIG_DIR:-$HOME/.claude}
give user "$claude/settings.json"
give user-local "$claude/settings.local.json"
give state "${CLAUDE_CONFIG_DIR:-$HOME}/.claude.json"
give state-older "$claude/.config.json"
give project .claude/settings.json
give project-local .claude/settings.local.json
give managed /etc/claude-code/managed-settings.json
for file in /etc/claude-code/managed-settings.d/*.json; do
  [ "$file" = "$own" ] || give managed-more "$file"
done
printf 'end\0\0'
"#;

/// The files, as the script calls them and as people do.
const FILES: [(&str, &str); 8] = [
    ("user", "settings.json in ~/.claude"),
    ("user-local", "settings.local.json in ~/.claude"),
    ("state", "~/.claude.json"),
    ("state-older", ".config.json in ~/.claude"),
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
    let most = (LARGEST + 1).to_string();
    let said = inside.long_script(SCRIPT, &[&own, &most], MOST)?;
    Ok(findings(said.output.expose()))
}

fn findings(said: &[u8]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut parts = said.split(|byte| *byte == 0);
    let (mut ended, mut strange) = (false, false);
    while let (Some(name), Some(content)) = (parts.next(), parts.next()) {
        let file = FILES.iter().find(|(known, _)| known.as_bytes() == name);
        match file {
            Some((_, file)) => {
                // Who answers may say the same without end.
                let new = of_file(file, content).into_iter();
                let new: Vec<_> = new.filter(|one| !found.contains(one)).collect();
                found.extend(new);
            }
            None if name == b"end" => ended = true,
            // What follows a NUL in a file.
            None => strange = true,
        }
    }
    if !ended || strange {
        found.push(Finding::new(
            "the settings of Claude Code in the sandbox could not all be read",
            MISSED,
        ));
    }
    found
}

/// What it comes to where something could not be looked at.
const MISSED: &str = "what competes in them may have been missed";

fn of_file(file: &str, content: &[u8]) -> Vec<Finding> {
    let unclear = |what: &str| {
        let what = format!("{file} {what}");
        vec![Finding::new(what, MISSED)]
    };
    if content.len() > LARGEST {
        return unclear("is larger than 8 MiB and was not looked at");
    }
    // It is Claude Code's affair what it makes of a file it does not like; it takes an empty one.
    if content.trim_ascii().is_empty() {
        return Vec::new();
    }
    match serde_json::from_slice(content) {
        Ok(settings) => of_settings(file, &settings),
        Err(_) => unclear("could not be understood"),
    }
}

fn of_settings(file: &str, settings: &Settings) -> Vec<Finding> {
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
    let set = settings.env.iter().flatten();
    let set = set.filter(|(_, value)| value.is_some());
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
            b"managed\0 \n\0",
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

    #[test]
    fn what_cannot_be_looked_at_is_told() {
        let one = |content: &[u8]| whats(&[b"user\0", content, b"\0end\0\0"].concat());
        let understood = "settings.json in ~/.claude could not be understood";
        for content in [
            "not JSON CANARY",
            "[]",
            r#"{"env":["ANTHROPIC_API_KEY=CANARY"]}"#,
            r#"{"env":{},"env":{"ANTHROPIC_API_KEY":"CANARY"}}"#,
            r#"{"apiKeyHelper":"CANARY","apiKeyHelper":null}"#,
            r#"{"a":{}"#,
        ] {
            assert_eq!(one(content.as_bytes()), [understood], "{content}");
        }
        let incomplete = "the settings of Claude Code in the sandbox could not all be read";
        assert_eq!(one(b"{}\0{\"apiKeyHelper\":\"CANARY\"}"), [incomplete]);
        assert_eq!(whats(&b"user\0{\0".repeat(1000)), [understood, incomplete]);
        // What grew over the years is looked at; what is cut is not taken for what it begins with.
        let mut long = br#"{"primaryApiKey":"CANARY","a":""#.to_vec();
        long.resize(LARGEST - 2, b'x');
        long.extend(b"\"}");
        assert_eq!(
            one(&long),
            ["primaryApiKey is set by settings.json in ~/.claude"]
        );
        long.push(b' ');
        let large = "settings.json in ~/.claude is larger than 8 MiB and was not looked at";
        assert_eq!(one(&long), [large]);
    }
}
