//! `ps`: lists sandboxes.

mod watch;

use std::str::FromStr as _;

use forage_api::bus::{ManagerProxy, OwnerOptions, SandboxInfo, SandboxState, TemplateInfo};
use forage_api::exit;
use jiff::Timestamp;

use super::condition::{self, Condition};
use crate::args::{Global, Ps};
use crate::bus::Bus;
use crate::output::paint::Paint;
use crate::output::table::{Cell, Colour, table};
use crate::output::{self, escape, json, moment};
use crate::{Error, membership};

pub(super) const NONE: &str = "no sandboxes; forage-ctl up NAME -t TEMPLATE makes one\n";

pub(super) fn run(global: Global, arguments: &Ps) -> Result<u8, Error> {
    if arguments.watch {
        return watch::run(&global, arguments);
    }
    let options = global.options();
    let names_only = global.quiet && !arguments.json;
    let bus = Bus::connect()?;
    let view = bus.manager(async |manager| View::ask(manager, &options, names_only).await)?;
    if arguments.json {
        let now = Timestamp::now();
        output::json(&json::Sandboxes::new(view.sandboxes, &view.templates, now))?;
    } else if global.quiet {
        output::result(&view.names())?;
    } else if view.sandboxes.is_empty() {
        output::note(NONE);
    } else {
        output::result(&view.rendered(Look::now()))?;
    }
    Ok(exit::OK)
}

/// What there is, sorted, and the templates it is made from.
struct View {
    sandboxes: Vec<SandboxInfo>,
    templates: Vec<TemplateInfo>,
}

impl View {
    /// Asks the daemon; for names only, no more than is needed.
    async fn ask(
        manager: &ManagerProxy<'_>,
        options: &OwnerOptions,
        names_only: bool,
    ) -> zbus::Result<Self> {
        let rows = manager.list(options).await?;
        let mut sandboxes: Vec<SandboxInfo> = rows.into_iter().map(SandboxInfo::from).collect();
        sandboxes.sort_by(|a, b| (a.owner, &a.name).cmp(&(b.owner, &b.name)));
        let templates = match names_only {
            true => Vec::new(),
            // Without them the agents are those that were given something.
            false => manager.templates().await.unwrap_or_default(),
        };
        Ok(Self {
            sandboxes,
            templates,
        })
    }

    fn rendered(&self, look: Look) -> String {
        rendered(&self.sandboxes, &self.templates, look)
    }

    /// The names, each in a line, for other programs to read.
    fn names(&self) -> String {
        let lines = self.sandboxes.iter();
        let lines = lines.map(|sandbox| escape::text(&sandbox.name) + "\n");
        lines.collect()
    }

    /// How the credentials of each are, which time alone changes.
    fn conditions(&self, now: Timestamp) -> Vec<Option<Condition>> {
        let all = self.sandboxes.iter();
        all.map(|one| Condition::worst(one, now)).collect()
    }
}

/// How the table is shown.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Whether owners are named.
    owners: bool,
    now: Timestamp,
    paint: Paint,
}

impl Look {
    fn now() -> Self {
        Self {
            owners: nix::unistd::geteuid().is_root(),
            now: Timestamp::now(),
            paint: Paint::stdout(),
        }
    }
}

fn rendered(sandboxes: &[SandboxInfo], templates: &[TemplateInfo], look: Look) -> String {
    let mut headings = vec![
        "NAME",
        "STATE",
        "TEMPLATE",
        "AGENTS",
        "CREDENTIALS",
        "AGE",
        "REPO",
    ];
    if look.owners {
        headings.insert(0, "OWNER");
    }
    let rows: Vec<_> = sandboxes
        .iter()
        .map(|sandbox| row(sandbox, templates, look))
        .collect();
    table(&headings, &rows, look.paint)
}

fn row(sandbox: &SandboxInfo, templates: &[TemplateInfo], look: Look) -> Vec<Cell> {
    let agents = condition::agents(sandbox, templates).join(",");
    let mut row = vec![
        Cell::from(sandbox.name.as_str()),
        state(&sandbox.state),
        Cell::or_dash(Some(&sandbox.template)),
        Cell::or_dash(Some(&agents)),
        credentials(Condition::worst(sandbox, look.now)),
        moment::age(&sandbox.created_at, look.now).into(),
        Cell::or_dash(sandbox.repository.as_deref()),
    ];
    if look.owners {
        row.insert(0, owner(sandbox.owner));
    }
    row
}

/// How credentials are, in their colour.
pub(super) fn credentials(condition: Option<Condition>) -> Cell {
    let colour = match condition {
        None => return Cell::or_dash(None),
        Some(Condition::Ok) => Colour::Plain,
        Some(Condition::Expiring | Condition::Revoked | Condition::Stale) => Colour::Attention,
        Some(Condition::None | Condition::Expired) => Colour::Bad,
    };
    Cell::new(condition.map_or("", Condition::as_str), colour)
}

/// Who owns it: the name, or the uid where the host has no name for it.
pub(super) fn owner(uid: u32) -> Cell {
    membership::user_name(uid)
        .unwrap_or_else(|| uid.to_string())
        .into()
}

/// The state in its colour; a state of a newer daemon is shown as it is.
pub(super) fn state(state: &str) -> Cell {
    use SandboxState as S;
    let colour = match S::from_str(state) {
        Ok(S::Running) => Colour::Good,
        Ok(S::Starting | S::Stopping | S::Removing | S::Frozen) => Colour::Attention,
        Ok(S::Failed | S::Unreadable) => Colour::Bad,
        Ok(S::Stopped) => Colour::Dim,
        Err(()) => Colour::Plain,
    };
    Cell::new(state, colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn a_table_for_people() {
        let look = Look {
            owners: false,
            now: "2026-03-20T21:00:00Z".parse().unwrap(),
            paint: Paint::plain(),
        };
        let templates = samples::templates();
        let mut odd = samples::running();
        odd.name = "a-long-name".into();
        odd.state = "frozen".into();
        odd.repository = Some("/home/alice/日本\x1b[2J".into());
        odd.credentials[0].stale = Some("why".into());
        let sandboxes = [samples::running(), odd, samples::unreadable()];
        insta::assert_snapshot!(rendered(&sandboxes, &templates, look), @r"
        NAME         STATE       TEMPLATE  AGENTS  CREDENTIALS  AGE  REPO
        s1           running     claude    claude  ok           1d   /home/alice/repo
        a-long-name  frozen      claude    claude  stale        1d   /home/alice/日本\u{1b}[2J
        s2           unreadable  -         -       -            -    -
        ");
        let mut mine = samples::running();
        mine.owner = 0;
        insta::assert_snapshot!(rendered(&[mine], &templates, Look { owners: true, ..look }), @r"
        OWNER  NAME  STATE    TEMPLATE  AGENTS  CREDENTIALS  AGE  REPO
        root   s1    running  claude    claude  ok           1d   /home/alice/repo
        ");
    }
}
