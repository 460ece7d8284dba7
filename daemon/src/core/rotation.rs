//! What changed in what a sandbox's agents are given: for the journal, and for subscribers.

use forage_api::record::RecordName;
use forage_api::shim::control::Delivered;

use super::notice::Notice;

/// How what one agent is given changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is the first of the run.
    Delivered,
    /// It is another one, or none any more.
    Rotated,
    /// It was taken away and is withheld.
    Withheld,
    /// It is given again after that.
    Restored,
}

/// Writes down what changed, and gives what subscribers are told.
pub(super) fn changes(
    name: &RecordName,
    before: Option<&[Delivered]>,
    now: &[Delivered],
) -> Vec<Notice> {
    let mut notices = Vec::new();
    for one in now {
        let old = before.and_then(|all| all.iter().find(|old| old.agent == one.agent));
        let Some(kind) = kind(old, one) else { continue };
        write_down(name, kind, one);
        if matches!(kind, Kind::Rotated | Kind::Restored) {
            notices.push(Notice::Rotated {
                owner: name.owner,
                name: name.name.to_string(),
                credential: one.clone(),
            });
        }
    }
    notices
}

/// A generation of zero says that nothing was written yet.
fn kind(old: Option<&Delivered>, now: &Delivered) -> Option<Kind> {
    let old = match old {
        Some(old) if old.generation > 0 => old,
        _ if now.generation == 0 || now.source == "none" => return None,
        _ => return Some(Kind::Delivered),
    };
    match (old.revoked, now.revoked) {
        (false, true) => Some(Kind::Withheld),
        (true, false) => Some(Kind::Restored),
        (true, true) => None,
        (false, false) => {
            let same = old.source == now.source
                && old.fingerprint == now.fingerprint
                && old.expires_at == now.expires_at;
            (!same).then_some(Kind::Rotated)
        }
    }
}

fn write_down(name: &RecordName, kind: Kind, one: &Delivered) {
    let (event, text) = match kind {
        Kind::Delivered => ("credential-delivered", "is given its credential"),
        Kind::Rotated if one.source == "none" => ("credential-removed", "is given none any more"),
        Kind::Rotated => ("credential-rotated", "is given another credential"),
        Kind::Withheld => ("credential-withheld", "has its credential no more"),
        Kind::Restored => ("credential-refreshed", "is given its credential again"),
    };
    entry(name, event, Some(one), text);
}

/// Writes down that a sandbox's credentials were revoked, and which it held.
pub(super) fn note_revoked(name: &RecordName, held: &[Delivered]) {
    for one in held {
        entry(name, "revoked", Some(one), "has its credential revoked");
    }
    if held.is_empty() {
        entry(name, "revoked", None, "no agent gets a credential any more");
    }
}

/// Writes one entry about what one agent is given.
pub(super) fn entry(name: &RecordName, event: &'static str, one: Option<&Delivered>, text: &str) {
    let agent = one.map_or("", |one| one.agent.as_str());
    let source = one.map_or("", |one| &one.source);
    let fingerprint = one.and_then(|one| one.fingerprint.as_deref());
    tracing::info!(
        FORAGE_EVENT = event,
        FORAGE_SANDBOX = name.name.as_str(),
        FORAGE_ID = %name.id,
        FORAGE_UID = name.owner,
        FORAGE_AGENT = agent,
        FORAGE_CREDENTIAL_SOURCE = source,
        FORAGE_CREDENTIAL_FP = fingerprint.unwrap_or_default(),
        "sandbox {} ({}) of uid {}: {agent} {text} ({source}{})",
        name.name,
        name.id,
        name.owner,
        fingerprint.map(|one| format!(", {one}")).unwrap_or_default(),
    );
}
