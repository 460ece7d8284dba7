//! `ps`: lists sandboxes.

use std::str::FromStr as _;

use forage_api::bus::{CredentialInfo, SandboxInfo, SandboxState};
use forage_api::exit;
use jiff::Timestamp;

use crate::args::{Global, Ps};
use crate::bus::Bus;
use crate::output::paint::Paint;
use crate::output::table::{Cell, Colour, table};
use crate::output::{self, json, moment};
use crate::{Error, membership};

pub(super) fn run(global: Global, arguments: &Ps) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let rows = bus.manager(async |manager| manager.list(&options).await)?;
    let mut sandboxes: Vec<SandboxInfo> = rows.into_iter().map(SandboxInfo::from).collect();
    sandboxes.sort_by(|a, b| (a.owner, &a.name).cmp(&(b.owner, &b.name)));
    if arguments.json {
        output::json(&json::Sandboxes::from(sandboxes))?;
        return Ok(exit::OK);
    }
    if global.quiet {
        let names = sandboxes.iter().map(|sandbox| &sandbox.name);
        output::names(names)?;
        return Ok(exit::OK);
    }
    if sandboxes.is_empty() {
        output::note("no sandboxes; forage-ctl up NAME -t TEMPLATE makes one\n");
        return Ok(exit::OK);
    }
    let root = nix::unistd::geteuid().is_root();
    let paint = Paint::stdout();
    output::result(&rendered(&sandboxes, root, Timestamp::now(), paint))?;
    Ok(exit::OK)
}

fn rendered(sandboxes: &[SandboxInfo], root: bool, now: Timestamp, paint: Paint) -> String {
    let mut headings = vec!["NAME", "STATE", "TEMPLATE", "CREDENTIALS", "AGE", "REPO"];
    if root {
        headings.insert(0, "OWNER");
    }
    let rows: Vec<_> = sandboxes
        .iter()
        .map(|sandbox| row(sandbox, root, now))
        .collect();
    table(&headings, &rows, paint)
}

fn row(sandbox: &SandboxInfo, root: bool, now: Timestamp) -> Vec<Cell> {
    let credentials: Vec<String> = sandbox.credentials.iter().map(credential).collect();
    let mut row = vec![
        Cell::from(sandbox.name.as_str()),
        state(&sandbox.state),
        Cell::or_dash(Some(&sandbox.template)),
        Cell::or_dash(Some(&credentials.join(", "))),
        moment::age(&sandbox.created_at, now).into(),
        Cell::or_dash(sandbox.repository.as_deref()),
    ];
    if root {
        row.insert(0, owner(sandbox.owner));
    }
    row
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
        Ok(S::Starting | S::Stopping | S::Removing) => Colour::Attention,
        Ok(S::Failed | S::Unreadable) => Colour::Bad,
        Ok(S::Stopped) => Colour::Dim,
        Err(()) => Colour::Plain,
    };
    Cell::new(state, colour)
}

fn credential(credential: &CredentialInfo) -> String {
    let stale = credential.stale.as_ref().map_or("", |_| " (stale)");
    format!("{}: {}{stale}", credential.agent, credential.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn a_table_for_people() {
        let now = "2026-03-20T21:00:00Z".parse().unwrap();
        let mut odd = samples::running();
        odd.name = "a-long-name".into();
        odd.state = "frozen".into();
        odd.repository = Some("/home/alice/日本\x1b[2J".into());
        odd.credentials[0].stale = Some("why".into());
        let sandboxes = [samples::running(), odd, samples::unreadable()];
        insta::assert_snapshot!(rendered(&sandboxes, false, now, Paint::plain()), @r"
        NAME         STATE       TEMPLATE  CREDENTIALS                  AGE  REPO
        s1           running     claude    claude: token-store          1d   /home/alice/repo
        a-long-name  frozen      claude    claude: token-store (stale)  1d   /home/alice/日本\u{1b}[2J
        s2           unreadable  -         -                            -    -
        ");
        let mut mine = samples::running();
        mine.owner = 0;
        insta::assert_snapshot!(rendered(&[mine], true, now, Paint::plain()), @r"
        OWNER  NAME  STATE    TEMPLATE  CREDENTIALS          AGE  REPO
        root   s1    running  claude    claude: token-store  1d   /home/alice/repo
        ");
    }
}
