//! The environment of an executed command: a clean base, what agents need, what the user gave, and
//! at the end the credentials, so that nothing else can take their place.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;

use forage_api::config::Template;
use forage_api::{Secret, places, provider};

use super::passwd::Entry;
use super::request::User;

/// Where commands are looked for; the agents' wrappers come first.
const AGENT_PATH: &str = "/run/forage/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:\
/usr/local/sbin:/usr/sbin:/sbin";
/// Root runs no agents.
const ROOT_PATH: &str = "/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:\
/usr/bin:/sbin:/bin";

/// Variables by name.
pub(super) type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// What an environment is made from.
pub(super) struct Asked<'a> {
    /// What the sandbox is made from.
    pub(super) template: &'a Template,
    /// Who runs the command.
    pub(super) user: User,
    /// That user's home and shell.
    pub(super) account: &'a Entry,
    /// The type of the terminal, where there is one.
    pub(super) terminal: Option<&'a str>,
    /// Variables as `NAME=value`.
    pub(super) given: &'a [CString],
    /// Whether credentials are part of it.
    pub(super) credentials: bool,
}

/// Puts the environment together. `read` gives a credential's value by its file's name.
pub(super) fn assemble(asked: &Asked<'_>, read: impl Fn(&str) -> Option<Secret>) -> Variables {
    let template = asked.template;
    let mut variables = base(asked);
    if asked.user == User::Agent {
        for (name, agent) in &template.agents {
            for (variable, value) in agent
                .provider(name)
                .map_or(&[][..], provider::Provider::settings)
            {
                variables.insert((*variable).into(), (*value).into());
            }
            let leading = agent.config_variable(name, &template.agent_user);
            if let Some((variable, by_default, directory)) = leading
                && directory != std::path::Path::new(&asked.account.home).join(by_default)
            {
                let directory = directory.into_os_string().into_encoded_bytes();
                variables.insert(variable.into(), directory);
            }
        }
    }
    if asked.user == User::Agent {
        let set = template.environment.iter();
        variables.extend(set.map(|(name, value)| (name.as_str().into(), value.as_str().into())));
    }
    for variable in asked.given {
        let bytes = variable.as_bytes();
        if let Some(end) = bytes.iter().position(|&byte| byte == b'=') {
            variables.insert(bytes[..end].to_vec(), bytes[end + 1..].to_vec());
        }
    }
    for (_, credential) in template.credentials() {
        for variable in credential.competing() {
            variables.remove(variable.as_bytes());
        }
    }
    for (_, credential) in template.credentials() {
        if asked.user == User::Agent {
            for (variable, value) in credential.pointers() {
                variables.insert(variable.into(), value.into());
            }
        }
        let Some(variable) = credential.exported() else {
            continue;
        };
        let name = variable.as_str().as_bytes().to_vec();
        let value = asked
            .credentials
            .then(|| read(credential.file_name()))
            .flatten();
        match value.as_ref().and_then(trimmed) {
            Some(value) => variables.insert(name, value),
            None => variables.remove(&name),
        };
    }
    variables
}

fn base(asked: &Asked<'_>) -> Variables {
    let (user, path) = match asked.user {
        User::Agent => (asked.template.agent_user.as_str(), AGENT_PATH),
        User::Root => ("root", ROOT_PATH),
    };
    let variables = [
        ("PATH", path),
        ("HOME", &asked.account.home),
        ("USER", user),
        ("LOGNAME", user),
        ("SHELL", &asked.account.shell),
        ("LANG", "C.UTF-8"),
    ];
    variables
        .into_iter()
        .chain(asked.terminal.map(|kind| ("TERM", kind)))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// A value as a shell's `$(cat file)` gives it; `None` where nothing is left of it, or where it
/// cannot be a variable.
fn trimmed(value: &Secret) -> Option<Vec<u8>> {
    let bytes = value.expose();
    let end = bytes.iter().rposition(|&byte| byte != b'\n')? + 1;
    (!bytes.contains(&0)).then(|| bytes[..end].to_vec())
}

/// The environment as `execve` takes it.
pub(super) fn strings(variables: Variables) -> Vec<CString> {
    variables
        .into_iter()
        .filter_map(|(mut name, value)| {
            name.push(b'=');
            name.extend(value);
            CString::new(name).ok()
        })
        .collect()
}

/// The directories of the environment's `PATH`.
pub(super) fn search_path(variables: &Variables) -> Vec<OsString> {
    let path = variables.get(&b"PATH"[..]).map_or(&[][..], Vec::as_slice);
    path.split(|&byte| byte == b':')
        // An empty entry means the working directory: nobody wants that.
        .filter(|directory| !directory.is_empty())
        .map(|directory| OsString::from_vec(directory.to_vec()))
        .collect()
}

/// The path of a credential's file, as the sandbox sees it.
pub(super) fn credential_path(file: &str) -> std::path::PathBuf {
    std::path::Path::new(places::INSIDE_SECRETS).join(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::template;

    const CLAUDE: &str = "[templates.t.agents.claude]\ncommand = \"/c\"\n";

    fn with(keys: &str, given: &[&str], files: &[(&str, &[u8])]) -> BTreeMap<String, String> {
        let given: Vec<CString> = given.iter().map(|g| CString::new(*g).unwrap()).collect();
        let read = |file: &str| {
            let found = files.iter().find(|(name, _)| *name == file)?;
            Some(Secret::new(found.1.to_vec()))
        };
        let template = template(keys);
        let account = Entry {
            home: "/home/agent".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        texts(assemble(
            &Asked {
                template: &template,
                user: User::Agent,
                account: &account,
                terminal: None,
                given: &given,
                credentials: true,
            },
            read,
        ))
    }

    #[test]
    fn agents_are_led_to_their_configuration() {
        let agent = |more: &str| format!("{CLAUDE}hostConfigDir = \"~/.claude\"\n{more}");
        let elsewhere = agent("containerConfigDir = \"/home/agent/claude\"");
        let variables = with(&elsewhere, &[], &[]);
        assert_eq!(variables["CLAUDE_CONFIG_DIR"], "/home/agent/claude");
        let variables = with(&elsewhere, &["CLAUDE_CONFIG_DIR=/x"], &[]);
        assert_eq!(variables["CLAUDE_CONFIG_DIR"], "/x");
        let variables = with(&agent(""), &[], &[]);
        assert!(!variables.contains_key("CLAUDE_CONFIG_DIR"));
    }

    fn texts(variables: Variables) -> BTreeMap<String, String> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        variables
            .into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn what_outlives_a_rotation_and_root_get_no_credential() {
        let template = template(CLAUDE);
        let given = [c"CLAUDE_CODE_OAUTH_TOKEN=given".to_owned()];
        for user in [User::Agent, User::Root] {
            let asked = Asked {
                template: &template,
                user,
                account: &Entry {
                    home: "/h".to_owned(),
                    shell: "/s".to_owned(),
                },
                terminal: Some("linux"),
                given: &given,
                credentials: false,
            };
            let variables = texts(assemble(&asked, |_| panic!("it was read")));
            assert!(!variables.contains_key("CLAUDE_CODE_OAUTH_TOKEN"));
            assert_eq!(variables["TERM"], "linux");
            assert_eq!(variables["HOME"], "/h");
            let agent = user == User::Agent;
            assert_eq!(variables.contains_key("DISABLE_AUTOUPDATER"), agent);
            assert_eq!(variables["PATH"].starts_with("/run/forage/bin:"), agent);
            assert_eq!(variables["USER"], if agent { "agent" } else { "root" });
        }
    }

    #[test]
    fn a_clean_base() {
        let variables = with("", &[], &[]);
        let names: Vec<&str> = variables.keys().map(String::as_str).collect();
        assert_eq!(names, ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"]);
        assert_eq!(variables["HOME"], "/home/agent");
        assert!(variables["PATH"].starts_with("/run/forage/bin:"));
    }

    #[test]
    fn credentials_win_over_what_was_given() {
        let token: &[(&str, &[u8])] = &[("claude-oauth-token", b"new\n")];
        let given = [
            "CLAUDE_CODE_OAUTH_TOKEN=given",
            "ANTHROPIC_API_KEY=stray",
            "CLAUDE_CODE_USE_BEDROCK=1",
            "DISABLE_AUTOUPDATER=0",
            "TERM=xterm",
            "A=b=c",
            "EMPTY=",
        ];
        let variables = with(CLAUDE, &given, token);
        assert_eq!(variables["CLAUDE_CODE_OAUTH_TOKEN"], "new");
        assert_eq!(variables["DISABLE_AUTOUPDATER"], "0");
        assert_eq!(variables["A"], "b=c");
        assert_eq!(variables["EMPTY"], "");
        assert_eq!(variables["TERM"], "xterm");
        assert!(!variables.contains_key("ANTHROPIC_API_KEY"));
        assert!(!variables.contains_key("CLAUDE_CODE_USE_BEDROCK"));
    }

    #[test]
    fn a_missing_credential_is_no_variable() {
        for files in [&[][..], &[("claude-oauth-token", &b"\n"[..])]] {
            let variables = with(CLAUDE, &["CLAUDE_CODE_OAUTH_TOKEN=given"], files);
            assert!(!variables.contains_key("CLAUDE_CODE_OAUTH_TOKEN"));
        }
    }

    #[test]
    fn the_templates_variables_give_way_to_what_was_given() {
        let keys =
            "environment = { EDITOR = \"vi\", DISABLE_AUTOUPDATER = \"0\", LANG = \"de\" }\n";
        let variables = with(&format!("{keys}{CLAUDE}"), &["EDITOR=ed"], &[]);
        assert_eq!(variables["EDITOR"], "ed");
        assert_eq!(variables["DISABLE_AUTOUPDATER"], "0");
        assert_eq!(variables["LANG"], "de");
    }

    #[test]
    fn a_credential_in_a_file_is_in_no_variable() {
        let keys = format!("{CLAUDE}delivery = \"file\"\n");
        let given = [
            "CLAUDE_CODE_OAUTH_TOKEN=stray",
            "CLAUDE_SECURESTORAGE_CONFIG_DIR=/stray",
        ];
        let variables = with(&keys, &given, &[("claude-oauth-token", b"x")]);
        assert!(!variables.contains_key("CLAUDE_CODE_OAUTH_TOKEN"));
        let directory = &variables["CLAUDE_SECURESTORAGE_CONFIG_DIR"];
        assert_eq!(directory, "/run/secrets/claude-credentials");
        let keys = format!("{CLAUDE}delivery = \"file\"\nsecretName = \"anthropic\"\n");
        let given = [
            "ANTHROPIC_API_KEY=stray",
            "CLAUDE_CODE_API_KEY_HELPER_TTL_MS=9",
        ];
        let variables = with(&keys, &given, &[("anthropic", b"x")]);
        assert!(!variables.contains_key("ANTHROPIC_API_KEY"));
        assert_eq!(variables["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"], "5000");
    }

    #[test]
    fn each_agent_gets_its_own() {
        let keys = "[templates.t.agents.claude]\ncommand = \"/c\"\nsecretName = \"anthropic\"\n\
                    [templates.t.agents.codex]\ncommand = \"/x\"\nsecretName = \"openai\"\n\
                    authEnvVar = \"OPENAI_API_KEY\"\n";
        let files: &[(&str, &[u8])] = &[("anthropic", b"a"), ("openai", b"o"), ("x", b"n")];
        let variables = with(keys, &[], files);
        assert_eq!(variables["ANTHROPIC_API_KEY"], "a");
        assert_eq!(variables["OPENAI_API_KEY"], "o");
        assert!(!variables.contains_key("CLAUDE_CODE_OAUTH_TOKEN"));
    }

    #[test]
    fn the_search_path_has_no_empty_entries() {
        let variables = Variables::from([(b"PATH".to_vec(), b":/a::/b:".to_vec())]);
        assert_eq!(search_path(&variables), ["/a", "/b"]);
        assert!(search_path(&Variables::new()).is_empty());
    }
}
