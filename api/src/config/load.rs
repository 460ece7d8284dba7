//! Reading the file: bounded, judged by who could have written it, and with errors that name line
//! and key but never quote a value.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{Config, check::check};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 256 * 1024;

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not one to trust.
    #[error("{path} {why}")]
    Untrusted {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The content is wrong.
    #[error("{0}")]
    Content(String),
}

/// Reads a configuration that is going to be obeyed: it must be root's alone to write.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = read(path, true)?;
    in_file(path, &text)
}

/// Reads a configuration to judge its content only.
pub fn parse(path: &Path) -> Result<Config, ConfigError> {
    let text = read(path, false)?;
    in_file(path, &text)
}

fn read(path: &Path, must_be_trusted: bool) -> Result<String, ConfigError> {
    let shown = || path.display().to_string();
    let failed = |source| ConfigError::Read {
        path: shown(),
        source,
    };
    let untrusted = |why| ConfigError::Untrusted { path: shown(), why };
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    // Symlinks are followed, since NixOS makes them; what counts is the file that was opened.
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(untrusted("is not a regular file"));
    }
    if must_be_trusted && meta.uid() != 0 {
        return Err(untrusted(
            "does not belong to root; correct it with: chown root",
        ));
    }
    if must_be_trusted && meta.mode() & 0o022 != 0 {
        return Err(untrusted(
            "can be written by others than root; correct it with: chmod go-w",
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(untrusted("is larger than 256 KiB"));
    }
    String::from_utf8(bytes).map_err(|_| untrusted("is not UTF-8 text"))
}

fn in_file(path: &Path, text: &str) -> Result<Config, ConfigError> {
    from_toml(text).map_err(|why| ConfigError::Content(format!("{}: {why}", path.display())))
}

/// Parses and checks the text of a configuration.
pub(super) fn from_toml(text: &str) -> Result<Config, String> {
    let parsed = toml::Deserializer::parse(text)
        .map_err(|error| at(text, error.span(), "not valid TOML"))?;
    let config: Config = serde_path_to_error::deserialize(parsed).map_err(|error| {
        let key = error.path().to_string();
        let inner = error.inner();
        let said = plain_cause(inner.message());
        let said = if key == "." {
            said
        } else {
            format!("{key}: {said}")
        };
        at(text, inner.span(), &said)
    })?;
    check(&config)?;
    Ok(config)
}

/// What of a message is ours to repeat: names of keys and expected types, never a value.
fn plain_cause(message: &str) -> String {
    let names_keys = message.starts_with("unknown field") || message.starts_with("missing field");
    if names_keys || super::template::is_ours(message) {
        return message.to_owned();
    }
    match message.split_once(", expected ") {
        Some((_, expected)) => format!("not valid, expected {}", in_words(expected)),
        None => "not valid".to_owned(),
    }
}

/// Types as somebody calls them who writes a configuration.
fn in_words(expected: &str) -> &str {
    match expected {
        "i64" | "u16" | "u32" | "usize" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    }
}

fn at(text: &str, span: Option<std::ops::Range<usize>>, what: &str) -> String {
    let line = span
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {what}"),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Base;
    use std::path::PathBuf;

    const GOOD: &str = r#"
user = "alice"
[secrets]
anthropic = "/run/secrets/anthropic"
[templates.claude]
description = "Claude Code"
root = "/srv/claude"
[templates.claude.agents.claude]
command = "/usr/local/bin/claude"
[templates.key]
root = "/srv/claude"
rootSize = "512M"
[templates.key.agents.claude]
command = "/usr/local/bin/claude"
secretName = "anthropic"
authEnvVar = "ANTHROPIC_API_KEY"
"#;

    #[test]
    fn a_good_file() {
        let config = from_toml(GOOD).unwrap();
        assert_eq!(config.max_sandboxes_per_user, 64);
        assert!(config.templates[&"claude".parse().unwrap()].uses_token());
        assert!(!config.templates[&"key".parse().unwrap()].uses_token());
    }

    #[test]
    fn a_system_is_a_store_path() {
        let parse = |system: &str| from_toml(&format!("[templates.x]\nsystem = {system:?}\n"));
        let hash = "0123456789abcdfghijklmnpqrsvwxyz";
        let good = format!("/nix/store/{hash}-nixos-system-a+b_c.d=e?-25.11");
        let config = parse(&good).unwrap();
        let base = &config.templates[&"x".parse().unwrap()].base;
        assert_eq!(base.init(), PathBuf::from(&good).join("init"));
        assert_eq!(
            *base,
            Base::System {
                system: good.into()
            }
        );
        for bad in [
            "".to_owned(),
            "/nix/store".to_owned(),
            "/nix/store/".to_owned(),
            "/nix/store/.links".to_owned(),
            format!("/nix/store/{hash}"),
            format!("/nix/store/{hash}-"),
            format!("/nix/store/{hash}-a/b"),
            format!("/nix/store/{hash}-a/../../../etc"),
            format!("/nix/store/../store/{hash}-a"),
            format!("//nix/store/{hash}-a"),
            format!("/nix/store/{hash}-a b"),
            format!("/nix/store/{hash}-a:b"),
            format!("/nix/store/{hash}-é"),
            format!("/nix/store/{hash}-a\n"),
            format!("/nix/store/{}-a", hash.to_uppercase()),
            format!("/nix/store/{}-a", hash.replace('z', "e")),
            format!("/nix/store/{hash}-{}", "a".repeat(300)),
            format!("/gnu/store/{hash}-a"),
            format!("nix/store/{hash}-a"),
            "/run/current-system".to_owned(),
        ] {
            let error = parse(&bad).unwrap_err();
            assert!(error.contains("templates.x.system: it must be"), "{error}");
            assert!(!error.contains(hash), "{error}");
        }
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (text, expected) in [
            ("user = 1", "line 1: user: not valid, expected a string"),
            (
                "user = \"root\"",
                "user: it must be an ordinary user, not root",
            ),
            (
                "\n\nshareTokens = true",
                "line 3: shareTokens: unknown field `shareTokens`, expected one of",
            ),
            (
                "[templates.x]\nnetwork = \"none\"",
                "templates.x: neither root nor system is given",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nsystem = \"/b\"",
                "templates.x: root and system are both given",
            ),
            (
                "[templates.x]\ninit = \"/a\"\nsystem = \"/b\"",
                "templates.x: init goes with root",
            ),
            (
                "[templates.x]\nsystem = \"/b\"",
                "templates.x.system: it must be a path directly below /nix/store",
            ),
            ("a = = 1", "line 1: not valid TOML"),
            ("maxSandboxesPerUser = 99999999999999999999", "line 1"),
            (
                "maxSandboxesPerUser = 0",
                "maxSandboxesPerUser: it must be from 1 to 4000",
            ),
            (
                "[secrets]\nx = \"relative\"",
                "secrets.x: it must be an absolute path",
            ),
            (
                "[secrets]\nclaude-oauth-token = \"/x\"",
                "that of a file of ours",
            ),
            (
                "[templates.x]\nroot = \"/a/../b\"",
                "templates.x.root: it must be an absolute path",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nworkspacePath = \"/etc/x\"",
                "would hide a part of the system",
            ),
            ("[templates.x]\nroot = \"/a\"\nagentUid = 0", "cannot be 0"),
            (
                "addressRange = \"8.8.8.0/24\"",
                "line 1: addressRange: not valid, expected a range of private IPv4",
            ),
            (
                "addressRange6 = \"fd00::/127\"",
                "addressRange6: not valid, expected a range of unique local",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nnetwork = \"some\"",
                "templates.x.network: ",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nhostPorts = [80]",
                "templates.x.hostPorts: a sandbox without a network reaches no port",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nnetwork = \"full\"\nhostPorts = [80, \"tcp/0\"]",
                "templates.x.hostPorts[1]: not valid",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nrootSize = \"-1\"",
                "line 3: templates.x.rootSize: not valid, expected a whole number with M, G or T",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nnetwork = \"full\"\nhostPorts = 80",
                "templates.x.hostPorts: not valid, expected a list",
            ),
            (
                "startTimeout = \"60\"",
                "startTimeout: not valid, expected a whole number",
            ),
            (
                "shareToken = \"yes\"",
                "shareToken: not valid, expected true or false",
            ),
            (
                "[templates.x]\nroot = \"/a\"\n[templates.x.resourceLimits]\ncpuQuota = \"0%\"",
                "line 4: templates.x.resourceLimits.cpuQuota: not valid, expected a whole number",
            ),
            (
                "[templates.x]\nroot = \"/a\"\n[templates.x.resourceLimits]\nmemoryMax = \"1M\"",
                "templates.x.resourceLimits.memoryMax: not valid, expected a whole number with M",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nresourceLimits.tasksMax = -1",
                "line 3: templates.x.resourceLimits.tasksMax: not valid, expected a whole number",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nresourceLimits.tasksMax = \"64\"",
                "templates.x.resourceLimits.tasksMax: not valid, expected a whole number",
            ),
            (
                "[templates.x]\nroot = \"/a\"\nresourceLimits.tasks = 64",
                "templates.x.resourceLimits.tasks: unknown field `tasks`, expected one of",
            ),
            (
                "[templates.x]\nroot = \"/a\"\n[templates.x.agents.a]\ncommand = \"a\"",
                "agents.a.command: it must be an absolute path",
            ),
            (
                "[templates.x]\nroot = \"/a\"\n[templates.x.agents.a]\ncommand = \"/a\"\nsecretName = \"s\"",
                "there is no secret s; add secrets.s",
            ),
            (
                "[secrets]\ns = \"/s\"\n[templates.x]\nroot = \"/a\"\n[templates.x.agents.a]\ncommand = \"/a\"\nsecretName = \"s\"",
                "secretName needs authEnvVar",
            ),
            (
                "[templates.x]\nroot = \"/a\"\n[templates.x.agents.a]\ncommand = \"/a\"\nauthEnvVar = \"A\"",
                "authEnvVar needs secretName",
            ),
        ] {
            let error = from_toml(text).unwrap_err();
            assert!(
                error.contains(expected),
                "{text:?} gave {error:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn two_credentials_for_one_provider_or_variable() {
        let base = "[secrets]\ns = \"/s\"\nt = \"/t\"\n[templates.x]\nroot = \"/a\"\n";
        let agent = |name: &str, rest: &str| {
            format!("[templates.x.agents.{name}]\ncommand = \"/a\"\n{rest}\n")
        };
        let two = format!(
            "{base}{}{}",
            agent("claude", ""),
            agent("b", "provider = \"claude\"\nsecretName = \"s\"")
        );
        assert!(
            from_toml(&two)
                .unwrap_err()
                .contains("one provider two credentials")
        );
        // Another agent that reads a key of the same provider would be billed instead.
        let two = format!(
            "{base}{}{}",
            agent(
                "aider",
                "secretName = \"s\"\nauthEnvVar = \"ANTHROPIC_API_KEY\""
            ),
            agent("claude", "")
        );
        assert!(
            from_toml(&two)
                .unwrap_err()
                .contains("one provider two credentials")
        );
        let two = format!(
            "{base}{}{}",
            agent("a", "secretName = \"s\"\nauthEnvVar = \"K\""),
            agent("b", "secretName = \"t\"\nauthEnvVar = \"K\"")
        );
        assert!(from_toml(&two).unwrap_err().contains("give K two values"));
    }

    #[test]
    fn no_value_reaches_an_error() {
        let canary = "sk-ant-oat01-CANARY";
        for text in [
            format!("user = [\"{canary}\"]"),
            format!("maxSandboxesPerUser = \"{canary}\""),
            format!("[secrets]\nx = \"{canary}\""),
            format!("[templates.x]\nroot = \"/a\"\nnetwork = \"{canary}\""),
            format!("[templates.x]\nroot = \"/a\"\nrootSize = \"{canary}\""),
            format!("user = \"{canary}"),
            format!("shareToken = {canary}"),
        ] {
            let error = from_toml(&text).unwrap_err();
            assert!(!error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_fatal() {
        assert!(from_toml(&format!("a = {}", "[".repeat(10_000))).is_err());
        assert!(from_toml(&format!("a = {}", "{a=".repeat(10_000))).is_err());
    }
}
