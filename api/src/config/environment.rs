//! The variables a template sets for everything its agents' user runs. They are no secrets: everybody
//! on the host can read them in the configuration.

use super::Template;
use crate::provider::{self, Provider, Vendor};

/// The most variables of one template, and the most bytes of one.
const MOST: usize = 64;
const MOST_BYTES: usize = 8192;

/// Variables that decide how programs are found, loaded or read, or that are set by us.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PWD",
    "TERM",
    "BASH_ENV",
    "ENV",
    "IFS",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "GCONV_PATH",
    provider::CLAUDE_HELPER_TTL,
];
const RESERVED_PREFIXES: &[&str] = &["LD_", "BASH_FUNC_", "FORAGE_", "forage_"];

/// Tells whether a variable has another meaning than an agent's.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Checks the variables of a template.
pub(super) fn check(key: &str, template: &Template) -> Result<(), String> {
    if template.environment.len() > MOST {
        return Err(format!("{key}.environment: at most {MOST} variables"));
    }
    for (name, value) in &template.environment {
        let key = format!("{key}.environment.{name}");
        let name = name.as_str();
        if is_reserved(name) {
            return Err(format!(
                "{key}: this variable has another meaning in the sandbox; leave it out"
            ));
        }
        if is_credential(template, name) {
            return Err(format!(
                "{key}: it decides which credential an agent uses, and what is here everybody on the \
                 host can read; use secrets and an agent's secretName"
            ));
        }
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
        if value.len() > MOST_BYTES || value.chars().any(odd) {
            return Err(format!(
                "{key}: its value must be at most {MOST_BYTES} bytes of text without control characters"
            ));
        }
    }
    Ok(())
}

/// Tells whether a variable carries a credential, or leads to one.
fn is_credential(template: &Template, name: &str) -> bool {
    let vendors = Vendor::ALL.iter().flat_map(|vendor| vendor.variables());
    let providers = Provider::ALL.iter().flat_map(|one| one.variables());
    vendors.chain(providers).any(|known| *known == name)
        || template
            .credentials()
            .any(|(_, credential)| credential.variable.as_str() == name)
}

#[cfg(test)]
mod tests {
    use crate::config::load::from_toml;

    fn parse(environment: &str) -> Result<crate::config::Config, String> {
        from_toml(&format!(
            "[secrets]\nkey = \"/k\"\n[templates.t]\nroot = \"/r\"\n{environment}\n\
             [templates.t.agents.mine]\ncommand = \"/m\"\nsecretName = \"key\"\nauthEnvVar = \"MY_KEY\"\n"
        ))
    }

    #[test]
    fn variables_that_are_taken() {
        let config = parse(
            "environment = { EDITOR = \"vi\", http_proxy = \"http://p:1\", _X1 = \"\", \
             ANTHROPIC_BASE_URL = \"http://127.0.0.1:1\", LIST = \"a\\n\\tb'c\" }",
        )
        .unwrap();
        let template = &config.templates[&"t".parse().unwrap()];
        let names: Vec<&str> = template.environment.keys().map(|n| n.as_str()).collect();
        let expected = ["ANTHROPIC_BASE_URL", "EDITOR", "LIST", "_X1", "http_proxy"];
        assert_eq!(names, expected);
        assert!(
            parse("").unwrap().templates[&"t".parse().unwrap()]
                .environment
                .is_empty()
        );
    }

    #[test]
    fn variables_that_are_refused() {
        let large = "x".repeat(8193);
        let many: String = (0..65).map(|n| format!("A{n} = \"\", ")).collect();
        for (variables, expected) in [
            (
                "PATH = \"/x\"",
                "environment.PATH: this variable has another",
            ),
            ("LD_AUDIT = \"/x\"", "another meaning"),
            ("HOME = \"/x\"", "another meaning"),
            ("FORAGE_X = \"/x\"", "another meaning"),
            (
                "CLAUDE_CODE_API_KEY_HELPER_TTL_MS = \"1\"",
                "another meaning",
            ),
            ("ANTHROPIC_API_KEY = \"value\"", "use secrets"),
            ("CLAUDE_CODE_OAUTH_TOKEN = \"value\"", "use secrets"),
            ("CLAUDE_CODE_USE_BEDROCK = \"1\"", "use secrets"),
            ("CLAUDE_SECURESTORAGE_CONFIG_DIR = \"/x\"", "use secrets"),
            ("OPENAI_API_KEY = \"value\"", "use secrets"),
            ("GEMINI_API_KEY = \"value\"", "use secrets"),
            ("AIDER_API_KEY = \"value\"", "use secrets"),
            ("OPENCODE_AUTH_CONTENT = \"value\"", "use secrets"),
            ("MY_KEY = \"value\"", "use secrets"),
            ("A = \"a\\u0000value\"", "control characters"),
            ("A = \"a\\u001bvalue\"", "control characters"),
            (&format!("A = \"{large}\""), "8192 bytes"),
            (many.trim_end_matches(", "), "at most 64"),
            ("\"A=B\" = \"value\"", "not valid"),
            ("1A = \"value\"", "not valid"),
            ("\"\" = \"value\"", "not valid"),
            ("A = 1", "environment"),
        ] {
            let error = parse(&format!("environment = {{ {variables} }}")).unwrap_err();
            assert!(error.contains(expected), "{variables} gave {error}");
            assert!(!error.contains("value\""), "{error}");
        }
    }
}
