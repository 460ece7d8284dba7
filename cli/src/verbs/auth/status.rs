//! `auth status`: what each agent was given.

use forage_api::bus::{CredentialInfo, SandboxInfo, SandboxState, TemplateInfo};
use forage_api::exit;
use jiff::Timestamp;

use crate::Error;
use crate::args::{AuthStatus, Global};
use crate::bus::Bus;
use crate::output::paint::Paint;
use crate::output::table::{Cell, Colour, table};
use crate::output::{self, json, moment};
use crate::verbs::condition::{self, Condition};
use crate::verbs::ps;

const HEADINGS: [&str; 9] = [
    "SANDBOX",
    "AGENT",
    "METHOD",
    "SOURCE",
    "DELIVERY",
    "GEN",
    "FINGERPRINT",
    "EXPIRES",
    "STATE",
];
/// What the table does not say.
const NOT_ASKED: &str = "delivered: it is there; the vendor was not asked whether it is valid \
                         (forage-ctl auth check NAME looks further)\n";

pub(in crate::verbs) fn run(global: &Global, arguments: &AuthStatus) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let name = arguments.name.as_ref();
    let (mut sandboxes, templates) = bus.manager(async |manager| {
        let sandboxes = match name {
            Some(name) => vec![manager.get(name.as_str(), &options).await?],
            None => {
                let rows = manager.list(&options).await?;
                rows.into_iter().map(SandboxInfo::from).collect()
            }
        };
        // Without them the agents are those that were given something.
        Ok((sandboxes, manager.templates().await.unwrap_or_default()))
    })?;
    sandboxes.sort_by(|a, b| (a.owner, &a.name).cmp(&(b.owner, &b.name)));
    let now = Timestamp::now();
    if arguments.json {
        output::json(&json::Deliveries::new(sandboxes, &templates, now))?;
        return Ok(exit::OK);
    }
    if sandboxes.is_empty() {
        output::note(ps::NONE);
        return Ok(exit::OK);
    }
    let owners = nix::unistd::geteuid().is_root() && name.is_none();
    let paint = Paint::stdout();
    output::result(&rendered(&sandboxes, &templates, owners, now, paint))?;
    let delivered = |one: &SandboxInfo| one.credentials.iter().any(|one| one.fingerprint.is_some());
    if sandboxes.iter().any(delivered) && !global.quiet {
        output::note(NOT_ASKED);
    }
    Ok(exit::OK)
}

fn rendered(
    sandboxes: &[SandboxInfo],
    templates: &[TemplateInfo],
    owners: bool,
    now: Timestamp,
    paint: Paint,
) -> String {
    let mut headings = HEADINGS.to_vec();
    if owners {
        headings.insert(0, "OWNER");
    }
    let mut rows = Vec::new();
    for sandbox in sandboxes {
        for mut row in rows_of(sandbox, templates, now) {
            if owners {
                row.insert(0, ps::owner(sandbox.owner));
            }
            rows.push(row);
        }
    }
    table(&headings, &rows, paint)
}

fn rows_of(sandbox: &SandboxInfo, templates: &[TemplateInfo], now: Timestamp) -> Vec<Vec<Cell>> {
    let name = Cell::from(sandbox.name.as_str());
    if sandbox.credentials.is_empty() {
        let agents = condition::agents(sandbox, templates).join(",");
        let mut row = vec![name, Cell::or_dash(Some(&agents))];
        row.resize(HEADINGS.len() - 1, Cell::or_dash(None));
        row.push(nothing(sandbox));
        return vec![row];
    }
    let credentials = sandbox.credentials.iter();
    let rows = credentials.map(|credential| {
        vec![
            name.clone(),
            credential.agent.as_str().into(),
            credential.method.as_str().into(),
            credential.source.as_str().into(),
            delivery(credential).into(),
            credential.generation.to_string().into(),
            Cell::or_dash(credential.fingerprint.as_deref()),
            Cell::or_dash(expiry(credential, now).as_deref()),
            state(sandbox, credential, now),
        ]
    });
    rows.collect()
}

/// How it reaches the agent, and when a new value is used.
fn delivery(credential: &CredentialInfo) -> String {
    let effect = match credential.effect.as_str() {
        "next-launch" => "next launch",
        effect => effect,
    };
    format!("{} ({effect})", credential.delivery)
}

fn expiry(credential: &CredentialInfo, now: Timestamp) -> Option<String> {
    let time = credential.expires_at.as_deref()?;
    let until = moment::until(time, now).map_or_else(String::new, |until| format!(" ({until})"));
    Some(format!("{}{until}", moment::day(time)))
}

/// How a sandbox is to which nothing is delivered.
fn nothing(sandbox: &SandboxInfo) -> Cell {
    let runs = [SandboxState::Running, SandboxState::Frozen]
        .iter()
        .any(|state| sandbox.state == state.as_str());
    let mut text = match runs {
        true => "no agent needs one".to_owned(),
        false => format!("{}: nothing is delivered", sandbox.state),
    };
    let mut colour = Colour::Dim;
    if sandbox.revoked_at.is_some() {
        text += ", and revoked";
        colour = Colour::Attention;
    }
    Cell::new(&text, colour)
}

/// How a credential is, and its sandbox where that does not simply run.
fn state(sandbox: &SandboxInfo, credential: &CredentialInfo, now: Timestamp) -> Cell {
    let (word, colour) = match Condition::of(credential, now) {
        Condition::Ok => ("delivered", Colour::Good),
        Condition::Expiring => ("delivered, expires soon", Colour::Attention),
        Condition::Expired => ("delivered, but expired", Colour::Bad),
        Condition::Revoked => ("revoked", Colour::Attention),
        Condition::Stale => ("stale", Colour::Attention),
        Condition::None => ("nothing is delivered", Colour::Bad),
    };
    let mut text = word.to_owned();
    if sandbox.state != SandboxState::Running.as_str() {
        text = format!("{}: {text}", sandbox.state);
    }
    if sandbox.revoked_at.is_some() && !credential.revoked {
        text += ", to be revoked";
    }
    if let Some(why) = &credential.stale {
        text += &format!(": {why}");
    }
    Cell::new(&text, colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    fn shown(sandboxes: &[SandboxInfo], owners: bool) -> String {
        let now = "2026-03-20T21:00:00Z".parse().unwrap();
        rendered(
            sandboxes,
            &samples::templates(),
            owners,
            now,
            Paint::plain(),
        )
    }

    fn with(name: &str, change: impl FnOnce(&mut SandboxInfo)) -> SandboxInfo {
        let mut sandbox = samples::running();
        sandbox.name = name.into();
        change(&mut sandbox);
        sandbox
    }

    #[test]
    fn deliveries_for_people() {
        let stopped = |sandbox: &mut SandboxInfo| {
            sandbox.state = "stopped".into();
            sandbox.credentials.clear();
        };
        let all = [
            with("s1", |_| {}),
            with("file", |sandbox| {
                let one = &mut sandbox.credentials[0];
                one.delivery = "file".into();
                one.effect = "live".into();
                one.source = "host-login".into();
                one.expires_at = Some("2026-03-21T04:25:00Z".into());
            }),
            with("old", |sandbox| {
                sandbox.credentials[0].stale = Some("its disk is\nfull".into());
            }),
            with("gone", |sandbox| {
                sandbox.state = "frozen".into();
                sandbox.revoked_at = Some("2026-03-20T20:00:00Z".into());
                sandbox.credentials[0].revoked = true;
                sandbox.credentials[0].fingerprint = None;
                sandbox.credentials[0].expires_at = None;
            }),
            with("none", |sandbox| {
                sandbox.credentials[0].source = "none".into();
                sandbox.credentials[0].fingerprint = None;
                sandbox.credentials[0].expires_at = None;
            }),
            with("off", stopped),
            with("taken", |sandbox| {
                stopped(sandbox);
                sandbox.revoked_at = Some("2026-03-20T20:00:00Z".into());
            }),
            with("plain", |sandbox| {
                sandbox.template = "plain".into();
                sandbox.credentials.clear();
            }),
        ];
        insta::assert_snapshot!(shown(&all, false), @r"
        SANDBOX  AGENT   METHOD       SOURCE       DELIVERY           GEN  FINGERPRINT  EXPIRES                     STATE
        s1       claude  oauth-token  token-store  env (next launch)  1    1a2b3c4d     2027-03-19 (in 364 days)    delivered
        file     claude  oauth-token  host-login   file (live)        1    1a2b3c4d     2026-03-21 (in 7 h 25 min)  delivered
        old      claude  oauth-token  token-store  env (next launch)  1    1a2b3c4d     2027-03-19 (in 364 days)    stale: its disk is\nfull
        gone     claude  oauth-token  token-store  env (next launch)  1    -            -                           frozen: revoked
        none     claude  oauth-token  none         env (next launch)  1    -            -                           nothing is delivered
        off      claude  -            -            -                  -    -            -                           stopped: nothing is delivered
        taken    claude  -            -            -                  -    -            -                           stopped: nothing is delivered, and revoked
        plain    -       -            -            -                  -    -            -                           no agent needs one
        ");
        let mut mine = samples::running();
        mine.owner = 0;
        insta::assert_snapshot!(shown(&[mine], true), @r"
        OWNER  SANDBOX  AGENT   METHOD       SOURCE       DELIVERY           GEN  FINGERPRINT  EXPIRES                   STATE
        root   s1       claude  oauth-token  token-store  env (next launch)  1    1a2b3c4d     2027-03-19 (in 364 days)  delivered
        ");
    }
}
