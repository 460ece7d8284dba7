//! `status`: describes one sandbox.

use forage_api::bus::{CredentialInfo, SandboxInfo};
use forage_api::exit;
use forage_api::ident::Slot;
use jiff::Timestamp;

use super::ps;
use crate::args::{Global, Status};
use crate::bus::Bus;
use crate::output::paint::Paint;
use crate::output::table::{Cell, Colour, pairs};
use crate::output::{self, json, moment};
use crate::{Error, membership};

pub(super) fn run(global: Global, arguments: &Status) -> Result<u8, Error> {
    let options = global.options();
    let name = arguments.name.as_str();
    let bus = Bus::connect()?;
    let sandbox = bus.manager(async |manager| manager.get(name, &options).await)?;
    if arguments.json {
        let owner = membership::user_name(sandbox.owner);
        output::json(&json::Sandbox::new(sandbox, owner))?;
    } else {
        output::result(&rendered(&sandbox, Timestamp::now(), Paint::stdout()))?;
    }
    Ok(exit::OK)
}

fn rendered(sandbox: &SandboxInfo, now: Timestamp, paint: Paint) -> String {
    let mut rows = vec![
        ("name", Cell::from(sandbox.name.as_str())),
        ("state", ps::state(&sandbox.state)),
    ];
    if let Some(failure) = &sandbox.failure {
        rows.push(("failure", Cell::new(failure, Colour::Bad)));
    }
    if let Some(hint) = &sandbox.hint {
        rows.push(("hint", hint.as_str().into()));
    }
    rows.push(("template", Cell::or_dash(Some(&sandbox.template))));
    rows.push(("owner", ps::owner(sandbox.owner)));
    rows.push(("repository", Cell::or_dash(sandbox.repository.as_deref())));
    if sandbox.repository.as_ref() != Some(&sandbox.workspace) {
        rows.push(("workspace", sandbox.workspace.as_str().into()));
    }
    let age = moment::age(&sandbox.created_at, now);
    let created = format!("{} ({age} ago)", sandbox.created_at);
    let known = !sandbox.created_at.is_empty();
    rows.push(("created", Cell::or_dash(known.then_some(&created))));
    rows.push(("id", sandbox.id.as_str().into()));
    let last = u64::from(sandbox.uid_base) + u64::from(Slot::SIZE) - 1;
    rows.push(("uids", format!("{} to {last}", sandbox.uid_base).into()));
    let mut text = pairs(&rows, paint);
    for credential in &sandbox.credentials {
        text.push('\n');
        text += &pairs(&describe(credential, now), paint);
    }
    text
}

fn describe(credential: &CredentialInfo, now: Timestamp) -> Vec<(&'static str, Cell)> {
    let expires = credential.expires_at.as_ref().map(|time| {
        let until =
            moment::until(time, now).map_or_else(String::new, |until| format!(" ({until})"));
        format!("{}{until}", moment::day(time))
    });
    let source = match credential.source.as_str() {
        "none" => Cell::new("none", Colour::Attention),
        source => source.into(),
    };
    let mut rows = vec![
        ("agent", Cell::from(credential.agent.as_str())),
        ("  source", source),
        ("  variable", credential.variable.as_str().into()),
        ("  file", credential.file.as_str().into()),
        ("  expires", Cell::or_dash(expires.as_deref())),
        (
            "  fingerprint",
            Cell::or_dash(credential.fingerprint.as_deref()),
        ),
        ("  generation", credential.generation.to_string().into()),
    ];
    if let Some(stale) = &credential.stale {
        rows.push(("  stale", Cell::new(stale, Colour::Attention)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn one_sandbox_for_people() {
        let now = "2026-03-20T21:00:00Z".parse().unwrap();
        let mut sandbox = samples::running();
        sandbox.owner = 0;
        insta::assert_snapshot!(rendered(&sandbox, now, Paint::plain()));
        insta::assert_snapshot!(rendered(&samples::unreadable(), now, Paint::plain()));
    }
}
