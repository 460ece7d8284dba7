//! What in a sandbox competes with what was delivered: variables, and logins of the agents' own. Values
//! are compared inside and never leave it.

use std::collections::{BTreeMap, BTreeSet};

use forage_api::bus::CredentialInfo;
use forage_api::ident::EnvName;
use forage_api::provider::{CLAUDE_CREDENTIAL_DIRECTORY, Vendor};

use super::finding::Finding;
use super::inside::Inside;
use crate::Error;

/// Looks for the variables in `$1`. Each further word is a variable that was delivered, `=`, and the file
/// with its value. A process's value is compared by the shell itself: as the argument of a program, others
/// on the host could see it.
const SCRIPT: &str = r#"
names=" $1 "
shift
known() { case $names in *" $1 "*) ;; *) return 1 ;; esac; }
for name in $names; do
  eval "[ -z \"\${$name-}\" ]" || echo "env $name"
done
if command -v tmux >/dev/null 2>&1; then
  for what in -g '-t =forage'; do
    tmux show-environment $what 2>/dev/null
  done | while IFS= read -r line; do
    name=${line%%=*}
    [ "$name" != "$line" ] && [ -n "${line#*=}" ] && known "$name" && echo "tmux $name"
  done
fi
for process in /proc/[0-9]*; do
  [ -r "$process/environ" ] || continue
  tr '\0' '\n' 2>/dev/null <"$process/environ" | while IFS= read -r line; do
    name=${line%%=*}
    value=${line#*=}
    [ "$name" != "$line" ] && [ -n "$value" ] && known "$name" || continue
    how=other
    for pair; do
      [ "${pair%%=*}" = "$name" ] || continue
      how=old
      [ "$(cat "${pair#*=}" 2>/dev/null)" = "$value" ] && how=same
    done
    read -r comm <"$process/comm" || comm=
    echo "process $name $how ${process#/proc/} $comm"
  done
done 2>/dev/null
login() { [ -s "$1" ] && echo "login $2"; }
claude=${CLAUDE_CONFIG_DIR:-$HOME/.claude}/.credentials.json
grep -qs '"claudeAiOauth"' "$claude" && echo 'login claude'
login "${CODEX_HOME:-$HOME/.codex}/auth.json" codex
login "$HOME/.gemini/oauth_creds.json" gemini
login "${XDG_DATA_HOME:-$HOME/.local/share}/opencode/auth.json" opencode
command -v tr >/dev/null && command -v grep >/dev/null && command -v cat >/dev/null && echo end
"#;

/// How many processes are named.
const NAMED: usize = 3;

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Variables in the environment that commands get.
    environment: BTreeSet<String>,
    /// Variables that tmux hands to what it starts.
    tmux: BTreeSet<String>,
    /// Processes, by variable and by how its value relates to what is delivered.
    processes: BTreeMap<(String, How), Vec<String>>,
    /// Agents with a login of their own.
    logins: BTreeSet<String>,
    /// Whether all was looked at.
    complete: bool,
}

/// How the value of a variable relates to what is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Same,
    Old,
    Other,
}

/// What was delivered, as the host knows it.
pub(super) struct Delivered<'a> {
    credentials: &'a [CredentialInfo],
}

impl<'a> Delivered<'a> {
    pub(super) fn new(credentials: &'a [CredentialInfo]) -> Self {
        Self { credentials }
    }

    /// Every variable that matters: those of the vendors, and those that are delivered.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let vendors: BTreeSet<Vendor> = self.credentials.iter().filter_map(vendor).collect();
        let known = vendors.iter().flat_map(|vendor| vendor.variables());
        let mut names: BTreeSet<String> = known.map(|name| (*name).to_owned()).collect();
        names.extend(self.carriers().map(|one| one.variable.clone()));
        names
    }

    /// Those that arrive in a variable.
    fn carriers(&self) -> impl Iterator<Item = &CredentialInfo> {
        let all = self.credentials.iter();
        all.filter(|one| one.variable.parse::<EnvName>().is_ok())
    }

    fn carries(&self, variable: &str) -> bool {
        self.carriers().any(|one| one.variable == variable)
    }

    /// Whether a variable leads to what is delivered.
    fn leads(&self, variable: &str) -> bool {
        let by_file = self.credentials.iter().any(|one| one.delivery == "file");
        by_file && variable == CLAUDE_CREDENTIAL_DIRECTORY
    }
}

/// Who a credential is for.
fn vendor(credential: &CredentialInfo) -> Option<Vendor> {
    match credential.variable.parse() {
        Ok(name) => Vendor::of_variable(&name),
        // Only Claude Code gets one in no variable.
        Err(_) => (credential.delivery == "file").then_some(Vendor::Anthropic),
    }
}

/// Looks inside.
pub(super) fn look(inside: &Inside<'_>, delivered: &Delivered<'_>) -> Result<Seen, Error> {
    let names = delivered.variables();
    let list = names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    let pairs = delivered
        .carriers()
        .map(|one| format!("{}={}", one.variable, one.file));
    let pairs: Vec<String> = pairs.collect();
    let words: Vec<&str> = std::iter::once(list.as_str())
        .chain(pairs.iter().map(String::as_str))
        .collect();
    let said = inside.script(SCRIPT, &words)?;
    Ok(Seen::read(
        &String::from_utf8_lossy(said.output.expose()),
        &names,
    ))
}

impl Seen {
    /// Reads what the script said. Whatever is not a word of ours is left out: it could be anything.
    fn read(text: &str, names: &BTreeSet<String>) -> Self {
        let mut seen = Self::default();
        let known = |name: &str| names.contains(name).then(|| name.to_owned());
        for line in text.lines() {
            let mut words = line.splitn(5, ' ');
            let (kind, what) = (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            );
            match kind {
                "env" => seen.environment.extend(known(what)),
                "tmux" => seen.tmux.extend(known(what)),
                "process" => {
                    let how = match words.next() {
                        Some("same") => How::Same,
                        Some("old") => How::Old,
                        _ => How::Other,
                    };
                    let pid: Option<u32> = words.next().and_then(|pid| pid.parse().ok());
                    let comm: String = words.next().unwrap_or("?").chars().take(16).collect();
                    if let (Some(name), Some(pid)) = (known(what), pid) {
                        let process = format!("{pid} ({comm})");
                        seen.processes.entry((name, how)).or_default().push(process);
                    }
                }
                "login" => {
                    let agents = ["claude", "codex", "gemini", "opencode"];
                    seen.logins.extend(
                        agents
                            .iter()
                            .find(|one| **one == what)
                            .map(|one| (*one).into()),
                    );
                }
                "end" => seen.complete = true,
                _ => {}
            }
        }
        seen
    }

    /// What of it is not as it should be.
    pub(super) fn findings(&self, name: &str, delivered: &Delivered<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for variable in &self.environment {
            if !delivered.leads(variable) && !delivered.carries(variable) {
                found.push(Finding::new(
                    format!("{variable} is set for commands in the sandbox, and may outrank what was delivered"),
                    "take it out of the template's environment",
                ));
            }
        }
        for variable in self.tmux.iter().filter(|one| !delivered.leads(one)) {
            found.push(Finding::new(
                format!("tmux hands {variable} to every shell it opens, with the value of when it was started"),
                format!("forage-ctl exec {name} -- tmux set-environment -gu {variable}"),
            ));
        }
        for ((variable, how), processes) in &self.processes {
            match how {
                How::Same => {}
                How::Other if delivered.leads(variable) => {}
                How::Old => found.push(Finding::new(
                    format!("{} still has an older {variable}", named(processes)),
                    "a delivery by variable is used at the next launch: end it and start it again",
                )),
                How::Other => found.push(Finding::new(
                    format!(
                        "{} has {variable}, which was not delivered",
                        named(processes)
                    ),
                    "end it, and see where it was set: a shell's start-up file, or a command",
                )),
            }
        }
        for agent in &self.logins {
            found.push(Finding::new(
                format!("{agent} has a login of its own in the sandbox, which revoking does not take away"),
                format!("log it out inside (forage-ctl shell {name}), unless it is meant to be there"),
            ));
        }
        if !self.complete {
            found.push(Finding::new(
                "the sandbox could not be looked through: it did not answer to the end",
                "it needs a shell with tr, grep and cat, and 10 seconds; what competes may have been missed",
            ));
        }
        found
    }
}

fn named(processes: &[String]) -> String {
    let some = processes
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match processes.len() {
        1 => format!("process {some}"),
        2..=NAMED => format!("processes {some}"),
        many => format!("{many} processes, such as {some},"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;
    use std::process::Command;

    fn findings(text: &str, credentials: &[CredentialInfo]) -> Vec<String> {
        let delivered = Delivered::new(credentials);
        let seen = Seen::read(text, &delivered.variables());
        seen.findings("s1", &delivered)
            .into_iter()
            .map(|one| one.what)
            .collect()
    }

    #[test]
    fn what_competes() {
        let by_variable = samples::running().credentials;
        let found = |line: &str| findings(&format!("{line}\nend\n"), &by_variable);
        assert!(findings("end\n", &by_variable).is_empty());
        assert!(findings("", &by_variable)[0].starts_with("the sandbox could not be looked"));
        for (line, says) in [
            (
                "env ANTHROPIC_API_KEY",
                "ANTHROPIC_API_KEY is set for commands",
            ),
            (
                "tmux CLAUDE_CODE_OAUTH_TOKEN",
                "tmux hands CLAUDE_CODE_OAUTH_TOKEN to",
            ),
            (
                "process CLAUDE_CODE_OAUTH_TOKEN old 42 claude",
                "process 42 (claude) still has an older CLAUDE_CODE_OAUTH_TOKEN",
            ),
            (
                "process ANTHROPIC_API_KEY other 7 a b \x1b[2J and more than that",
                "process 7 (a b \x1b[2J and mor) has ANTHROPIC_API_KEY, which was not delivered",
            ),
            ("login claude", "claude has a login of its own"),
        ] {
            let found = found(line);
            assert!(found.len() == 1 && found[0].starts_with(says), "{found:?}");
        }
        for line in [
            "process CLAUDE_CODE_OAUTH_TOKEN same 42 claude",
            "env CLAUDE_CODE_OAUTH_TOKEN",
            "env PATH",
            "env sk-ant-oat01-CANARY",
            "login sk-ant-oat01-CANARY",
            "process ANTHROPIC_API_KEY old x",
            "process",
            "nonsense",
            "",
        ] {
            assert!(found(line).is_empty(), "{line}");
        }
        let many: String = (1..=9)
            .map(|pid| format!("process ANTHROPIC_API_KEY other {pid} x\n"))
            .collect();
        assert!(found(&many)[0].starts_with("9 processes, such as 1 (x), 2 (x), 3 (x), has"));
    }

    #[test]
    fn a_delivery_by_file_is_led_to() {
        let mut by_file = samples::running().credentials;
        by_file[0].delivery = "file".into();
        by_file[0].variable = String::new();
        let lines = format!(
            "env {0}\nprocess {0} other 1 claude\nend\n",
            CLAUDE_CREDENTIAL_DIRECTORY
        );
        assert!(findings(&lines, &by_file).is_empty());
        let token = "process CLAUDE_CODE_OAUTH_TOKEN other 1 claude\nend\n";
        assert_eq!(findings(token, &by_file).len(), 1);
        assert!(Delivered::new(&[]).variables().is_empty());
    }

    #[test]
    fn the_script_sees_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        std::fs::create_dir(home.join(".claude")).unwrap();
        let login = r#"{"claudeAiOauth":{"accessToken":"CANARY"}}"#;
        std::fs::write(home.join(".claude/.credentials.json"), login).unwrap();
        std::fs::create_dir(home.join(".codex")).unwrap();
        std::fs::write(home.join(".codex/auth.json"), "").unwrap();
        let value = home.join("value");
        let mut agent = Command::new("sleep")
            .arg("60")
            .env("FORAGE_TEST_TOKEN", "CANARY-1")
            .env("FORAGE_TEST_STRAY", "CANARY-2")
            .spawn()
            .unwrap();
        let scan = |given: &str| {
            std::fs::write(&value, given).unwrap();
            let run = Command::new("sh")
                .args([
                    "-c",
                    SCRIPT,
                    "sh",
                    "FORAGE_TEST_TOKEN FORAGE_TEST_STRAY FORAGE_TEST_SET",
                ])
                .arg(format!("FORAGE_TEST_TOKEN={}", value.display()))
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .env("HOME", home)
                .env("FORAGE_TEST_SET", "CANARY-3")
                .output()
                .unwrap();
            String::from_utf8(run.stdout).unwrap()
        };
        let pid = agent.id();
        let (same, old) = (scan("CANARY-1\n"), scan("CANARY-9\n"));
        agent.kill().unwrap();
        agent.wait().unwrap();
        for (text, how) in [(&same, "same"), (&old, "old")] {
            for line in [
                format!("process FORAGE_TEST_TOKEN {how} {pid} sleep"),
                format!("process FORAGE_TEST_STRAY other {pid} sleep"),
                "env FORAGE_TEST_SET".into(),
                "login claude".into(),
                "end".into(),
            ] {
                assert!(text.lines().any(|one| one == line), "{line}: {text}");
            }
            assert!(
                !text.contains("CANARY") && !text.contains("login codex"),
                "{text}"
            );
            assert!(!text.contains("env FORAGE_TEST_TOKEN"), "{text}");
        }
    }
}
