//! The agents' wrappers: small shell scripts, generated from the template, that come first on an
//! agent's PATH. At each launch they read the credential as it is then, so a launch after a rotation
//! has the new one, and blank the variables that would outrank it.
//!
//! The value never becomes an argument of a program: only what the shell itself does touches it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use forage_api::config::{Agent, Template};
use forage_api::ident::AgentName;
use forage_api::places;
use forage_api::provider::Provider;

/// Writes the wrappers of a template into a new directory.
///
/// # Errors
/// What the file system says.
pub fn write_all(template: &Template, directory: &Path) -> io::Result<()> {
    fs::create_dir(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for (name, agent) in &template.agents {
        let path = directory.join(name.as_str());
        fs::write(&path, script(name, agent, template))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The wrapper of an agent. One without a credential has one, too: it is how an agent is found by
/// its name.
fn script(name: &AgentName, agent: &Agent, template: &Template) -> String {
    let provider = agent.provider(name);
    let credential = agent.credential(name);
    let mut text = format!("#!/bin/sh\n# Starts the agent {name} with its credential.\n");
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    for (variable, value) in &template.environment {
        line(&unless_set(variable.as_str(), value));
    }
    for (variable, value) in provider.map_or(&[][..], Provider::settings) {
        if template
            .environment
            .keys()
            .any(|name| name.as_str() == *variable)
        {
            continue;
        }
        line(&format!("export {variable}={}", shell_quoted(value)));
    }
    if let Some((variable, by_default, directory)) =
        agent.config_variable(name, &template.agent_user)
    {
        line(&leading(variable, by_default, &directory.to_string_lossy()));
    }
    if let Some(credential) = credential {
        for variable in credential.competing() {
            line(&format!("unset {variable}"));
        }
        for (variable, value) in credential.pointers() {
            line(&format!("export {variable}={}", shell_quoted(&value)));
        }
        if let Some(variable) = credential.exported() {
            let file = format!("{}/{}", places::INSIDE_SECRETS, credential.file_name());
            line(&reading(variable.as_str(), &shell_quoted(&file)));
        }
    }
    if provider == Some(Provider::Claude) {
        line(ONBOARDED);
    }
    line(&format!(
        "exec {} \"$@\"",
        shell_quoted(&agent.command.to_string_lossy())
    ));
    text
}

/// Claude Code shows its login wizard to who has never been through it, whatever credential there is.
/// What is there already is left alone.
const ONBOARDED: &str = r#"(
  umask 077
  set -C
  place=${CLAUDE_CONFIG_DIR:-$HOME}
  [ -n "$place" ] || exit 0
  [ -d "$place" ] || mkdir -p "$place"
  [ -e "$place/.claude.json" ] || echo '{"hasCompletedOnboarding":true}' >"$place/.claude.json"
) 2>/dev/null || :"#;

/// Sets a variable that is not set yet; one that is, somebody set for this launch.
pub fn unless_set(variable: &str, value: &str) -> String {
    let value = shell_quoted(value);
    format!("[ -n \"${{{variable}+set}}\" ] || export {variable}={value}")
}

/// Leads the agent to its configuration directory, where it would not look for it by itself.
fn leading(variable: &str, by_default: &str, directory: &str) -> String {
    let directory = shell_quoted(directory);
    format!(
        "if [ {directory} = \"$HOME/{by_default}\" ]; then
  unset {variable}
else
  export {variable}={directory}
fi"
    )
}

/// Reads a file into an exported variable, newlines at its end left out; without the file there is
/// no variable. Every word is the shell's own, so no process ever has the value as an argument.
fn reading(variable: &str, file: &str) -> String {
    format!(
        "unset {variable} forage_value forage_line
forage_end='
'
if [ -r {file} ]; then
  forage_value=
  while IFS= read -r forage_line || [ -n \"$forage_line\" ]; do
    forage_value=$forage_value$forage_line$forage_end
  done <{file}
  while [ \"${{forage_value%\"$forage_end\"}}\" != \"$forage_value\" ]; do
    forage_value=${{forage_value%\"$forage_end\"}}
  done
  if [ -n \"$forage_value\" ]; then
    export {variable}=\"$forage_value\"
  fi
  unset forage_value forage_line
fi
unset forage_end"
    )
}

/// A word for the shell that means exactly this text.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{path, program};
    use std::process::Command;

    #[test]
    fn quoting_survives_a_real_shell() {
        for nasty in [
            "",
            "plain",
            "it's",
            "'",
            "''",
            "a b\tc",
            "$HOME `id` $(id) \\ \" ! # ~ * ? [ ] { } ; & | < >",
            "two\nlines\n",
            "-n",
            "é ü 🦋",
        ] {
            let output = Command::new("/bin/sh")
                .arg("-c")
                .arg(format!("printf %s {}", shell_quoted(nasty)))
                .output()
                .unwrap();
            assert_eq!(output.stdout, nasty.as_bytes(), "{nasty:?}");
        }
    }

    /// Runs the reading part in a real shell and gives what a program then has in `TOKEN`.
    fn read_by_shell(
        shell: &[&str],
        content: Option<&[u8]>,
        before: Option<&str>,
    ) -> Option<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("it's a secret");
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let script = format!(
            "{}\nexec env -0\n",
            reading("TOKEN", &shell_quoted(&file.to_string_lossy()))
        );
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg("-c").arg(script).env_clear();
        command.env("PATH", path());
        if let Some(before) = before {
            command.env("TOKEN", before);
        }
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        let variables = output.stdout.split(|&b| b == 0);
        let mut values = variables.filter_map(|v| v.strip_prefix(b"TOKEN="));
        values.next().map(<[u8]>::to_vec)
    }

    #[test]
    fn credentials_are_read_exactly() {
        let bash = program("bash");
        for shell in [&["/bin/sh"][..], &[&bash, "--posix"]] {
            for (content, expected) in [
                (&b"token"[..], Some(&b"token"[..])),
                (b"token\n\n", Some(b"token")),
                (
                    b" a\\b $x `y` 'z' \"w\" \n",
                    Some(b" a\\b $x `y` 'z' \"w\" "),
                ),
                (b"two\nlines\n", Some(b"two\nlines")),
                (b"-n -e *", Some(b"-n -e *")),
                (b"\n\n", None),
                (b"", None),
            ] {
                let read = read_by_shell(shell, Some(content), Some("old"));
                assert_eq!(read.as_deref(), expected, "{shell:?} {content:?}");
            }
            assert_eq!(read_by_shell(shell, None, Some("old")), None);
        }
    }

    /// The wrapper of an agent `a` in a template.
    fn wrapper(template: &str, command: &str, agent: &str) -> String {
        let path = tempfile::NamedTempFile::new().unwrap();
        let config = format!(
            "[secrets]\nkey = \"/k\"\n[templates.t]\nroot = \"/r\"\n{template}\n\
             [templates.t.agents.a]\ncommand = {command:?}\n{agent}"
        );
        fs::write(path.path(), config).unwrap();
        let config = forage_api::config::parse(path.path()).unwrap();
        let template = &config.templates[&"t".parse().unwrap()];
        let name = "a".parse().unwrap();
        script(&name, &template.agents[&name], template)
    }

    /// The variables a wrapper's program has, one a line.
    fn variables(script: &str, given: &[(&str, &str)]) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear();
        command.env("PATH", path()).envs(given.iter().copied());
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_whole_wrapper_runs() {
        let directory = tempfile::tempdir().unwrap();
        let command = directory.path().join("say it's $me");
        fs::write(&command, "#!/bin/sh\nenv -0\nprintf '%s|' \"$@\"\n").unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
        let script = wrapper("", &command.to_string_lossy(), "provider = \"claude\"");
        let wrapper = directory.path().join("wrapper");
        fs::write(&wrapper, script).unwrap();
        let output = Command::new("/bin/sh")
            .arg(&wrapper)
            .args(["a b", "", "-x"])
            .env_clear()
            .envs([
                ("PATH", path().as_str()),
                ("HOME", &directory.path().to_string_lossy()),
                ("ANTHROPIC_API_KEY", "stray"),
                ("CLAUDE_CODE_OAUTH_TOKEN", "stray"),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with("a b||-x|"), "{said}");
        assert!(said.contains("DISABLE_AUTOUPDATER=1"));
        assert!(
            !said.contains("stray") && !said.contains("forage_"),
            "{said}"
        );
    }

    #[test]
    fn an_agent_without_credential_or_provider_is_only_started() {
        let plain = wrapper("", "/bin/true", "");
        assert_eq!(
            plain,
            "#!/bin/sh\n# Starts the agent a with its credential.\nexec '/bin/true' \"$@\"\n"
        );
        let with_key = "secretName = \"key\"\nauthEnvVar = \"K\"";
        let text = wrapper("", "/bin/true", with_key);
        assert!(text.contains("done <'/run/secrets/key'"), "{text}");
        assert!(!text.contains("ANTHROPIC"));
    }

    #[test]
    fn an_agent_finds_its_configuration() {
        let keys = "provider = \"claude\"\nhostConfigDir = \"~/.claude\"";
        let text = wrapper("", &program("env"), keys);
        for (home, expected) in [
            ("/home/agent", None),
            ("/var/agent", Some("CLAUDE_CONFIG_DIR=/home/agent/.claude")),
        ] {
            let said = variables(&text, &[("HOME", home), ("CLAUDE_CONFIG_DIR", "stray")]);
            let found = said
                .lines()
                .find(|line| line.starts_with("CLAUDE_CONFIG_DIR"));
            assert_eq!(found, expected, "{said}");
        }
    }

    #[test]
    fn every_stray_variable_is_blanked() {
        use forage_api::provider::Vendor;
        for (keys, kept) in [
            ("provider = \"claude\"", &[][..]),
            (
                "provider = \"claude\"\ndelivery = \"file\"",
                &["CLAUDE_SECURESTORAGE_CONFIG_DIR=/run/secrets/claude-credentials"],
            ),
            (
                "provider = \"claude\"\nsecretName = \"key\"\ndelivery = \"file\"",
                &["CLAUDE_CODE_API_KEY_HELPER_TTL_MS=5000"],
            ),
            ("provider = \"aider\"\nsecretName = \"key\"", &[]),
            ("provider = \"opencode\"\nsecretName = \"key\"", &[]),
        ] {
            let script = wrapper("", &program("env"), keys);
            let own = ["AIDER_API_KEY", "OPENCODE_AUTH_CONTENT"];
            let own = own.iter().filter(|name| {
                let provider = name[..5].to_lowercase();
                keys.contains(&provider)
            });
            let every = Vendor::Anthropic.variables().iter().chain(own);
            let given: Vec<(&str, &str)> = every
                .map(|name| (*name, "stray"))
                .chain([("OPENAI_API_KEY", "other")])
                .collect();
            let said = variables(&script, &given);
            assert!(!said.contains("stray"), "{keys}: {said}");
            // Another vendor's is nobody's business here.
            assert!(said.contains("OPENAI_API_KEY=other"), "{said}");
            for line in kept {
                assert!(said.lines().any(|l| l == *line), "{keys}: {said}");
            }
        }
    }

    #[test]
    fn the_templates_variables_give_way_to_those_of_the_launch() {
        let template = "environment = { A = \"it's $x\", B = \"b\", DISABLE_AUTOUPDATER = \"0\" }";
        let script = wrapper(template, &program("env"), "provider = \"claude\"");
        let said = variables(&script, &[("B", "")]);
        for line in ["A=it's $x", "B=", "DISABLE_AUTOUPDATER=0"] {
            assert!(said.lines().any(|l| l == line), "{line}: {said}");
        }
    }

    #[test]
    fn the_login_wizard_is_not_shown() {
        let script = wrapper("", &program("true"), "provider = \"claude\"");
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name).to_string_lossy().into_owned();
        let (home, elsewhere) = (path("home"), path("home/el se/where"));
        fs::create_dir(&home).unwrap();
        let read = |place: &str| fs::read_to_string(Path::new(place).join(".claude.json")).ok();
        let expected = Some("{\"hasCompletedOnboarding\":true}\n".to_owned());
        variables(&script, &[("HOME", &home)]);
        assert_eq!(read(&home), expected);
        variables(
            &script,
            &[("HOME", &home), ("CLAUDE_CONFIG_DIR", &elsewhere)],
        );
        assert_eq!(read(&elsewhere), expected);
        // What is there stays as it is: a file, and a link to nowhere.
        fs::write(Path::new(&home).join(".claude.json"), "{}").unwrap();
        variables(&script, &[("HOME", &home)]);
        assert_eq!(read(&home).as_deref(), Some("{}"));
        fs::remove_file(Path::new(&home).join(".claude.json")).unwrap();
        let link = Path::new(&home).join(".claude.json");
        std::os::unix::fs::symlink(top.path().join("nowhere"), link).unwrap();
        variables(&script, &[("HOME", &home)]);
        assert!(!top.path().join("nowhere").exists());
        // A home that cannot be written keeps nobody from working.
        for home in ["/proc", "/proc/nothing", ""] {
            variables(&script, &[("HOME", home)]);
        }
        let other = wrapper("", "/bin/true", "provider = \"codex\"");
        assert!(!other.contains("hasCompletedOnboarding"));
    }
}
