//! `claude token`: the token store.

pub(super) mod remove;
pub(super) mod status;
pub(super) mod store;

use forage_api::bus::{OwnerOptions, SandboxRow};

use crate::bus::Bus;
use crate::output;

/// Shows what the daemon has to say besides.
fn warn(warnings: &[String]) {
    warnings.iter().for_each(|line| output::warning(line));
}

fn sandboxes_of_others(count: u32) -> String {
    match count {
        1 => "1 sandbox of another user".into(),
        count => format!("{count} sandboxes of other users"),
    }
}

/// The sandboxes a change has reached, by what it means to the processes that run there.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reached {
    /// They follow.
    live: Vec<String>,
    /// They keep what they have; those started from now on follow.
    next_launch: Vec<String>,
    /// The daemon did not say.
    unknown: Vec<String>,
}

impl Reached {
    /// Asks the daemon what the change means to the sandboxes it has reached.
    fn ask(bus: &Bus, options: &OwnerOptions, names: &[String]) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let rows = bus.manager(async |manager| manager.list(options).await);
        Self::of(names, &rows.unwrap_or_default())
    }

    fn of(names: &[String], rows: &[SandboxRow]) -> Self {
        let mut reached = Self::default();
        for name in names {
            let row = rows.iter().find(|row| row.name == *name);
            let mut tokens = row
                .and_then(|row| row.more.credentials.as_ref())
                .into_iter()
                .flatten()
                .filter(|one| !one.source.starts_with("secret:"));
            let place = match tokens.next().map(|one| one.effect.as_str()) {
                Some("live") => &mut reached.live,
                Some("next-launch") => &mut reached.next_launch,
                _ => &mut reached.unknown,
            };
            place.push(name.clone());
        }
        reached
    }

    /// A line for each kind there is; `%` in it stands for the names.
    fn lines(&self, live: &str, next_launch: &str, unknown: &str) -> String {
        let kinds = [
            (&self.live, live),
            (&self.next_launch, next_launch),
            (&self.unknown, unknown),
        ];
        let lines = kinds.iter().filter(|(names, _)| !names.is_empty());
        lines
            .map(|(names, line)| line.replace('%', &names.join(", ")) + "\n")
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn what_a_change_means_is_told_apart() {
        let row = |name: &str, effect: &str, source: &str| {
            let mut sandbox = samples::running();
            sandbox.name = name.into();
            sandbox.credentials[0].effect = effect.into();
            sandbox.credentials[0].source = source.into();
            SandboxRow::from(sandbox)
        };
        let rows = [
            row("a", "live", "token-store"),
            row("b", "next-launch", "none"),
            row("c", "live", "secret:x"),
        ];
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let reached = Reached::of(&names, &rows);
        assert_eq!(reached.live, ["a"]);
        assert_eq!(reached.next_launch, ["b"]);
        assert_eq!(reached.unknown, ["c", "d"]);
        assert_eq!(reached.lines("1 %", "2 %", "3 %"), "1 a\n2 b\n3 c, d\n");
        assert_eq!(Reached::default().lines("%", "%", "%"), "");
    }
}
