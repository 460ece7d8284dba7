//! The names a shell offers, as the daemon knows them.

use std::ffi::OsString;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap_complete::CompletionCandidate;
use forage_api::bus::{OwnerOptions, SandboxRow, SandboxState, TemplateInfo};
use forage_api::ident::{AgentName, SandboxName, TemplateName};
use nix::unistd::geteuid;

use crate::bus::Bus;
use crate::membership;
use crate::output::escape;

/// How long a shell is kept waiting at most, however much of the daemon is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks the daemon, once something is to be offered.
pub(super) struct Known {
    /// `--owner`, where the command line has it.
    owner: Option<String>,
    /// The other words of the line: what stands there already is not offered again.
    taken: Vec<OsString>,
    rows: fn(OwnerOptions, Instant) -> Vec<SandboxRow>,
    templates: fn(Instant) -> Vec<TemplateInfo>,
    until: Instant,
    root: bool,
}

impl Known {
    /// What the daemon knows.
    pub(super) fn of_daemon(words: &[OsString]) -> Self {
        Self {
            owner: owner(words),
            taken: words.to_vec(),
            rows: |options, end| {
                let list = move || Bus::connect().ok()?.rows_if_running(&options).ok();
                by(end, list).unwrap_or_default()
            },
            templates: |end| {
                let list = || Bus::connect().ok()?.templates_if_running().ok();
                by(end, list).unwrap_or_default()
            },
            until: Instant::now() + PATIENCE,
            root: geteuid().is_root(),
        }
    }

    /// The sandboxes that fit a verb.
    pub(super) fn sandboxes(&self, verb: &str) -> Vec<CompletionCandidate> {
        // A new sandbox needs a new name, and root has none without saying whose.
        if verb == "up" || (self.root && self.owner.is_none()) {
            return Vec::new();
        }
        let rows = self.rows().into_iter().filter(|row| fits(verb, &row.state));
        rows.filter(|row| !self.taken(&row.name) && row.name.parse::<SandboxName>().is_ok())
            .map(|row| {
                let about = format!("{}, {}", row.state, row.template);
                candidate(&row.name, &about)
            })
            .collect()
    }

    /// The templates.
    pub(super) fn templates(&self) -> Vec<CompletionCandidate> {
        (self.templates)(self.until)
            .into_iter()
            .filter(|template| template.name.parse::<TemplateName>().is_ok())
            .map(|template| candidate(&template.name, &template.description))
            .collect()
    }

    /// The agents of the sandbox that stands on the line.
    pub(super) fn agents(&self) -> Vec<CompletionCandidate> {
        let mut rows = self.rows().into_iter();
        let Some(row) = rows.find(|row| self.taken(&row.name)) else {
            return Vec::new();
        };
        let templates = (self.templates)(self.until).into_iter();
        templates
            .filter(|template| template.name == row.template)
            .flat_map(|template| template.agents)
            .filter(|agent| agent.parse::<AgentName>().is_ok())
            .map(CompletionCandidate::new)
            .collect()
    }

    fn taken(&self, name: &str) -> bool {
        self.taken.iter().any(|word| word == name)
    }

    /// The users that have sandboxes.
    pub(super) fn owners(&self) -> Vec<CompletionCandidate> {
        let mut uids: Vec<u32> = (self.rows)(OwnerOptions { owner: None }, self.until)
            .into_iter()
            .map(|row| row.owner)
            .collect();
        uids.sort_unstable();
        uids.dedup();
        let names = uids.into_iter().filter_map(membership::user_name);
        let plain = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        names.filter(plain).map(CompletionCandidate::new).collect()
    }

    fn rows(&self) -> Vec<SandboxRow> {
        let owner = self.owner.clone();
        (self.rows)(OwnerOptions { owner }, self.until)
    }
}

/// The words of a sandbox and what it is like. Both are put so that they cannot act on a terminal.
fn candidate(name: &str, about: &str) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(escape::text(about).into()))
}

/// Tells whether a verb has something to do with a sandbox in that state.
fn fits(verb: &str, state: &str) -> bool {
    let is = |wanted: &[SandboxState]| wanted.iter().any(|one| one.as_str() == state);
    match verb {
        "start" => is(&[SandboxState::Stopped, SandboxState::Failed]),
        "stop" => is(&[SandboxState::Running, SandboxState::Frozen]),
        "check" | "exec" | "shell" | "attach" | "agent" => is(&[SandboxState::Running]),
        _ => true,
    }
}

/// Who `--owner` names on a command line.
fn owner(words: &[OsString]) -> Option<String> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let word = word.to_str().unwrap_or_default();
        if word == "--owner" {
            return words.next()?.to_str().map(str::to_owned);
        }
        if let Some(owner) = word.strip_prefix("--owner=") {
            return Some(owner.to_owned());
        }
    }
    None
}

/// The answer, if it comes in time. What hangs is left behind: the program is about to end.
fn by<R: Send + 'static>(
    end: Instant,
    ask: impl FnOnce() -> Option<R> + Send + 'static,
) -> Option<R> {
    let (tell, told) = mpsc::channel();
    let thread = thread::Builder::new();
    thread.spawn(move || tell.send(ask())).ok()?;
    let left = end.saturating_duration_since(Instant::now());
    told.recv_timeout(left).ok().flatten()
}

#[cfg(test)]
impl Known {
    /// A daemon with sandboxes in several states.
    pub(super) fn sample(words: &[OsString]) -> Self {
        use crate::verbs::samples;
        Self {
            owner: owner(words),
            taken: words
                .split_last()
                .map_or(&[][..], |(_, others)| others)
                .to_vec(),
            rows: |_, _| {
                let row = |name: &str, state: &str, owner| {
                    let mut sandbox = samples::running();
                    (sandbox.name, sandbox.state) = (name.into(), state.into());
                    sandbox.owner = owner;
                    sandbox.into()
                };
                vec![
                    row("s1", "running", 0),
                    row("s2", "running", 0),
                    row("ice", "frozen", 0),
                    row("old", "stopped", 0),
                    row("broken", "failed", 0),
                    row("--all", "running", 0),
                    row("$(reboot)", "failed", 0),
                ]
            },
            templates: |_| samples::templates(),
            until: Instant::now(),
            root: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn whose_sandboxes_are_meant() {
        for (line, says) in [
            ("forage-ctl stop", None),
            ("forage-ctl --owner bob stop", Some("bob")),
            ("forage-ctl stop --owner=bob", Some("bob")),
            ("forage-ctl stop --owner", None),
            ("forage-ctl exec s1 -- x --owner bob", None),
        ] {
            assert_eq!(owner(&words(line)).as_deref(), says, "{line}");
        }
    }

    #[test]
    fn root_has_no_sandboxes_of_its_own() {
        let mut known = Known::sample(&words("forage-ctl stop "));
        known.root = true;
        assert!(known.sandboxes("stop").is_empty());
        known.owner = Some("root".into());
        assert_eq!(known.sandboxes("stop").len(), 3);
        assert_eq!(known.owners().len(), 1);
    }

    #[test]
    fn nobody_is_kept_waiting() {
        let (never, told) = mpsc::channel::<()>();
        let now = Instant::now();
        assert_eq!(by(now, move || told.recv().ok()), None);
        let later = now + Duration::from_secs(3600);
        assert_eq!(by(later, || Some(1)), Some(1));
        assert_eq!(by(later, || None::<u8>), None);
        drop(never);
    }
}
