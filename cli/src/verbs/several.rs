//! Several sandboxes at once: each is tried, and each failure is told with its name.

use std::collections::HashMap;
use std::ops::ControlFlow;

use forage_api::bus::SandboxRow;
use forage_api::ident::SandboxName;
use forage_api::{ErrorKind, exit};
use nix::unistd::geteuid;

use crate::args::Global;
use crate::bus::{Bus, Interface};
use crate::output::progress::Steps;
use crate::output::{self, escape};
use crate::{Error, near};

/// What the command line names.
#[derive(Debug)]
pub(super) struct Several {
    names: Vec<String>,
    /// What somebody else has done meanwhile, and that is as good.
    settled: Vec<ErrorKind>,
}

impl Several {
    /// Those named, each once.
    pub(super) fn named(names: &[SandboxName]) -> Self {
        let mut once: Vec<String> = Vec::new();
        for name in names {
            if !once.iter().any(|known| known == name.as_str()) {
                once.push(name.to_string());
            }
        }
        Self {
            names: once,
            settled: Vec::new(),
        }
    }

    /// All of the owner's that fit, and the id of each. What is gone when its turn comes is no
    /// failure.
    pub(super) fn all(
        bus: &Bus,
        global: &Global,
        fits: impl Fn(&SandboxRow) -> bool,
    ) -> Result<(Self, HashMap<String, String>), Error> {
        let rows = listed(bus, global)?.into_iter().filter(fits);
        let ids: HashMap<String, String> = rows.map(|row| (row.name, row.id)).collect();
        let mut names: Vec<String> = ids.keys().cloned().collect();
        names.sort();
        let settled = vec![ErrorKind::NoSuchSandbox];
        Ok((Self { names, settled }, ids))
    }

    /// Adds a failure that means that there was nothing to do any more.
    #[must_use]
    pub(super) fn settled(mut self, kind: ErrorKind) -> Self {
        self.settled.push(kind);
        self
    }

    /// The only one, if it was named.
    pub(super) fn single(&self) -> Option<&str> {
        match self.names.as_slice() {
            [name] if self.settled.is_empty() => Some(name),
            _ => None,
        }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Makes a call for each, and says what came of it with the text `done` gives. The exit code is
    /// that of the first in their order that failed.
    pub(super) fn run<P: Interface, R: 'static, F>(
        &self,
        bus: &Bus,
        global: &Global,
        call: impl Fn(P, String) -> F,
        done: impl Fn(&str, R) -> String,
    ) -> Result<u8, Error>
    where
        F: Future<Output = zbus::Result<R>> + 'static,
    {
        let mut codes: Vec<Option<u8>> = vec![None; self.names.len()];
        let mut said = Ok(());
        let mut unknown = Vec::new();
        let mut unreachable = None;
        let steps = Steps::begin(&self.left(&codes), global.progress());
        bus.several(&self.names, call, |place, answer| {
            let name = &self.names[place];
            let mut code = exit::OK;
            match answer {
                Ok(answer) => {
                    let told = steps.aside(|| global.say(&done(name, answer)));
                    said = std::mem::replace(&mut said, Ok(())).and(told);
                }
                Err(error) if error.kind.is_some_and(|kind| self.settled.contains(&kind)) => {}
                Err(error) => {
                    code = error.exit;
                    match error.kind {
                        Some(ErrorKind::NoSuchSandbox) => unknown.push((error, name)),
                        None if code == exit::UNREACHABLE => unreachable = Some(error),
                        _ => steps.aside(|| output::error(&named(error, name))),
                    }
                }
            }
            codes[place] = Some(code);
            steps.waiting_for(&self.left(&codes));
            // Nobody is left to ask about the others.
            match unreachable {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        })?;
        drop(steps);
        if !unknown.is_empty() {
            let known = near::sandboxes(global.owner.as_deref());
            for (error, name) in unknown {
                let error = near::suggesting(error, name, known.clone());
                output::error(&named(error, name));
            }
        }
        if let Some(error) = unreachable {
            output::error(&error);
            let left = self.without_answer(&codes).join(", ");
            output::warning(&format!("not tried, or without an answer: {left}"));
        }
        said?;
        let failed = codes.into_iter().flatten().find(|code| *code != exit::OK);
        Ok(failed.unwrap_or(exit::OK))
    }

    /// What may or may not have been done.
    fn without_answer(&self, codes: &[Option<u8>]) -> Vec<&str> {
        let unsure = |code: &Option<u8>| code.is_none_or(|code| code == exit::UNREACHABLE);
        let left = self.names.iter().zip(codes);
        left.filter(|(_, code)| unsure(code))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What has not ended yet.
    fn left(&self, codes: &[Option<u8>]) -> String {
        let left = self
            .names
            .iter()
            .zip(codes)
            .filter(|(_, code)| code.is_none());
        let left: Vec<&str> = left.map(|(name, _)| name.as_str()).collect();
        match left.as_slice() {
            few if few.len() <= 3 => few.join(", "),
            many => format!("{} and {} more", many[..2].join(", "), many.len() - 2),
        }
    }
}

/// The owner's sandboxes.
pub(super) fn listed(bus: &Bus, global: &Global) -> Result<Vec<SandboxRow>, Error> {
    whose(global)?;
    let options = global.options();
    let mut rows = bus.manager(async |manager| manager.list(&options).await)?;
    rows.retain(|row| global.owner.is_some() || row.owner == geteuid().as_raw());
    Ok(rows)
}

/// Refuses to act on all sandboxes of root, who has none.
pub(super) fn whose(global: &Global) -> Result<(), Error> {
    if geteuid().is_root() && global.owner.is_none() {
        return Err(Error::usage("root has no sandboxes: whose are meant?")
            .hint("name the user with --owner USER"));
    }
    Ok(())
}

/// The error with the name of its sandbox, where it does not say it.
fn named(mut error: Error, name: &str) -> Error {
    let label = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !error.message.split(|c| !label(c)).any(|word| word == name) {
        error.message = format!("{}: {}", escape::text(name), error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(names: &[&str]) -> Several {
        let names: Vec<SandboxName> = names.iter().map(|name| name.parse().unwrap()).collect();
        Several::named(&names)
    }

    #[test]
    fn a_name_counts_once() {
        let both = several(&["s2", "s1", "s2"]);
        assert_eq!(both.names, ["s2", "s1"]);
        assert_eq!(both.single(), None);
        assert_eq!(several(&["s1", "s1"]).single(), Some("s1"));
    }

    #[test]
    fn what_is_waited_for() {
        let some = several(&["a", "b", "c", "d", "e"]);
        assert_eq!(some.left(&[None; 5]), "a, b and 3 more");
        assert_eq!(some.left(&[None, Some(0), None, Some(4), None]), "a, c, e");
    }

    #[test]
    fn failures_say_whose_they_are() {
        for (message, says) in [
            ("there is no sandbox s1", "there is no sandbox s1"),
            ("there is no sandbox s10", "s1: there is no sandbox s10"),
            ("it did not boot", "s1: it did not boot"),
        ] {
            assert_eq!(named(Error::failure(message), "s1").message, says);
        }
    }
}
