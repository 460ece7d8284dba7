//! `status`: describes one sandbox.

use forage_api::bus::{CredentialInfo, SandboxInfo, TemplateInfo};
use forage_api::exit;
use forage_api::ident::Slot;
use jiff::Timestamp;

use super::{condition, ps};
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
    let (sandbox, templates) = bus.manager(async |manager| {
        let sandbox = manager.get(name, &options).await?;
        // Without them the agents are those that were given something.
        Ok((sandbox, manager.templates().await.unwrap_or_default()))
    })?;
    if arguments.json {
        let owner = membership::user_name(sandbox.owner);
        let now = Timestamp::now();
        output::json(&json::Status::new(sandbox, owner, &templates, now))?;
    } else {
        output::result(&rendered(
            &sandbox,
            &templates,
            Timestamp::now(),
            Paint::stdout(),
        ))?;
    }
    Ok(exit::OK)
}

fn rendered(
    sandbox: &SandboxInfo,
    templates: &[TemplateInfo],
    now: Timestamp,
    paint: Paint,
) -> String {
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
    let agents = condition::agents(sandbox, templates).join(", ");
    rows.push(("agents", Cell::or_dash(Some(&agents))));
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
    rows.extend(run_of(sandbox));
    rows.extend(last_failure(sandbox, now));
    if let Some(since) = &sandbox.revoked_at {
        let again = "forage-ctl auth refresh gives them back";
        let since = format!("since {since}; {again}");
        rows.push(("revoked", Cell::new(&since, Colour::Attention)));
    }
    let mut text = pairs(&rows, paint);
    for credential in &sandbox.credentials {
        text.push('\n');
        text += &pairs(&describe(credential, now), paint);
    }
    text
}

/// What its run is like.
fn run_of(sandbox: &SandboxInfo) -> Vec<(&'static str, Cell)> {
    let mut rows = Vec::new();
    if let Some(started) = &sandbox.started_at {
        let up = sandbox.uptime.map(moment::lasting).unwrap_or_default();
        rows.push(("started", format!("{started} (up {up})").into()));
    }
    if let Some(system) = &sandbox.system {
        rows.push(("system", system.as_str().into()));
    }
    if let Some(newer) = &sandbox.newer_system {
        let name = &sandbox.name;
        let text = format!(
            "an older build; its template has {newer}; to use that: forage-ctl stop {name}, then \
             forage-ctl start {name}"
        );
        rows.push(("  outdated", Cell::new(&text, Colour::Attention)));
    }
    if let Some(limits) = &sandbox.limits {
        let parts = [
            limits.cpu_quota.map(|percent| format!("cpu {percent}%")),
            limits
                .memory_max
                .map(|bytes| format!("memory {}", moment::bytes(bytes))),
            limits.tasks_max.map(|number| format!("{number} tasks")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        rows.push(("limits", Cell::or_dash(Some(&parts.join(", ")))));
    }
    if let Some(network) = &sandbox.network {
        rows.push(("network", Cell::from(network.mode.as_str())));
        let more = [
            ("  interface", network.interface.clone().unwrap_or_default()),
            ("  addresses", network.addresses.join(", ")),
            ("  gateways", network.gateways.join(", ")),
            ("  resolvers", network.resolvers.join(", ")),
        ];
        rows.extend(
            more.into_iter()
                .filter(|(_, text)| !text.is_empty())
                .map(|(key, text)| (key, text.into())),
        );
        for warning in &network.warnings {
            rows.push(("  warning", Cell::new(warning, Colour::Attention)));
        }
    }
    let mounts = sandbox.mounts.iter().flatten().enumerate();
    rows.extend(mounts.map(|(number, mount)| {
        let from = mount.source.as_ref();
        let from = from.map_or_else(
            || mount.what.clone(),
            |source| format!("{} {source}", mount.what),
        );
        let how = if mount.writable { "" } else { ", read-only" };
        let key = if number == 0 { "mounts" } else { "" };
        (key, format!("{}: {from}{how}", mount.path).into())
    }));
    rows
}

/// Its last failure, where that is over: otherwise it is the state's.
fn last_failure(sandbox: &SandboxInfo, now: Timestamp) -> Vec<(&'static str, Cell)> {
    let past = sandbox.last_failure.as_ref();
    let Some(past) = past else {
        return Vec::new();
    };
    let age = moment::age(&past.at, now);
    let mut rows = vec![("last failure", format!("{} ({age} ago)", past.at).into())];
    if sandbox.failure.as_ref() != Some(&past.message) {
        rows.push(("  reason", past.message.as_str().into()));
        if let Some(hint) = &past.hint {
            rows.push(("  hint", hint.as_str().into()));
        }
    }
    rows
}

/// How a credential arrives, and when a new value is used.
fn delivery(credential: &CredentialInfo) -> String {
    let effect = match credential.effect.as_str() {
        "live" => "a change is used at once",
        "next-launch" => "a change is used at the agent's next launch",
        effect => effect,
    };
    format!("{}; {effect}", credential.delivery)
}

fn describe(credential: &CredentialInfo, now: Timestamp) -> Vec<(&'static str, Cell)> {
    let expires = credential.expires_at.as_ref().map(|time| {
        let until =
            moment::until(time, now).map_or_else(String::new, |until| format!(" ({until})"));
        format!("{}{until}", moment::day(time))
    });
    let source = match credential.source.as_str() {
        _ if credential.revoked => Cell::new("revoked", Colour::Attention),
        "none" => Cell::new("none", Colour::Attention),
        source => source.into(),
    };
    let mut rows = vec![
        ("agent", Cell::from(credential.agent.as_str())),
        ("  method", credential.method.as_str().into()),
        ("  source", source),
        ("  delivery", delivery(credential).into()),
    ];
    if !credential.variable.is_empty() {
        rows.push(("  variable", credential.variable.as_str().into()));
    }
    rows.extend([
        ("  file", credential.file.as_str().into()),
        ("  expires", Cell::or_dash(expires.as_deref())),
        (
            "  fingerprint",
            Cell::or_dash(credential.fingerprint.as_deref()),
        ),
        ("  generation", credential.generation.to_string().into()),
    ]);
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
        insta::assert_snapshot!(rendered(
            &sandbox,
            &samples::templates(),
            now,
            Paint::plain()
        ));
        insta::assert_snapshot!(rendered(
            &samples::unreadable(),
            &samples::templates(),
            now,
            Paint::plain()
        ));
        let mut detailed = samples::detailed();
        detailed.owner = 0;
        insta::assert_snapshot!(rendered(
            &detailed,
            &samples::templates(),
            now,
            Paint::plain()
        ));
    }
}
