//! Claude Code's managed settings: how it asks for an API key that is delivered in a file. The settings
//! lie where only the sandbox's root can write, in a file of their own, so that those a template's tree
//! or system brings hold as well. They name the key's file and never hold the key.

use std::path::Path;

use forage_api::config::{DeliveryMode, PlannedCredential, Template};
use forage_api::provider::{self, Method};
use forage_api::{Failure, places};

use crate::admission::Admitted;
use crate::fail::start;
use crate::root::inside::write_file;
use crate::root::{self, Places};

/// Writes the settings into a sandbox's root, where an agent needs them. Nothing runs there yet.
///
/// # Errors
/// They cannot be written.
pub fn add(sandbox: &Admitted, places: &Places) -> Result<(), Failure> {
    let Some(text) = settings(&sandbox.template) else {
        return Ok(());
    };
    let (directory, name) = provider::CLAUDE_MANAGED_SETTINGS;
    let place = root::make_path(sandbox, places, Path::new(directory))?;
    write_file(&place, name, sandbox.base(), &text)
        .map_err(|error| start(format_args!("write {directory}/{name} in the root"), error))
}

/// All Claude agents of a template have one credential, so the first says it for all.
fn settings(template: &Template) -> Option<String> {
    let in_a_file = |credential: &PlannedCredential| {
        credential.delivery == DeliveryMode::File && credential.method() != Method::OauthToken
    };
    let (_, credential) = template.credentials().find(|(_, c)| in_a_file(c))?;
    let settings = serde_json::json!({ "apiKeyHelper": helper(credential.file_name()) });
    Some(format!("{settings}\n"))
}

/// What Claude Code has a shell run to get the key; a secret's name needs no quoting. Where the key was
/// taken away it has to print something: of a helper that fails, Claude Code keeps the last key.
fn helper(file: &str) -> String {
    let secrets = places::INSIDE_SECRETS;
    format!("cat {secrets}/{file} 2>/dev/null || echo no-credential")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::template;

    #[test]
    fn only_an_api_key_in_a_file_is_asked_for() {
        let agent = "[templates.t.agents.claude]\ncommand = \"/c\"\n";
        let key = "secretName = \"anthropic\"\n";
        let file = "delivery = \"file\"\n";
        let token = "secretName = \"anthropic\"\nauthEnvVar = \"CLAUDE_CODE_OAUTH_TOKEN\"\n";
        for (keys, expected) in [
            (agent.to_owned(), false),
            (format!("{agent}{file}"), false),
            (format!("{agent}{key}"), false),
            (format!("{agent}{token}{file}"), false),
            (format!("{agent}{key}{file}"), true),
        ] {
            assert_eq!(settings(&template(&keys)).is_some(), expected, "{keys}");
        }
        let text = settings(&template(&format!("{agent}{key}{file}"))).unwrap();
        let expected =
            "{\"apiKeyHelper\":\"cat /run/secrets/anthropic 2>/dev/null || echo no-credential\"}\n";
        assert_eq!(text, expected);
    }
}
