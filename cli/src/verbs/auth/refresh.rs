//! `auth refresh`: brings credentials up to date, also those that were revoked.

use forage_api::bus::{AuthOutcome, CredentialInfo, SandboxState, TokensProxy};

use super::outcome::{self, Outcomes};
use crate::Error;
use crate::args::{AuthRefresh, Global};
use crate::bus::Bus;
use crate::output::escape;
use crate::verbs::several::whose;

pub(in crate::verbs) fn run(global: &Global, arguments: &AuthRefresh) -> Result<u8, Error> {
    if arguments.all {
        whose(global)?;
    }
    let options = global.options();
    let bus = Bus::connect()?;
    global.offer_host_login(&bus);
    let outcomes = Outcomes::new(global, refreshed, "does not get");
    let call = |tokens: TokensProxy<'static>, name: String| {
        let options = options.clone();
        async move { tokens.refresh(&name, &options).await }
    };
    let code = outcomes.gather(&bus, &arguments.names, arguments.all, call)?;
    Ok(outcomes.exit_code(code))
}

/// What a sandbox has now.
fn refreshed(outcome: &AuthOutcome) -> String {
    let name = escape::text(&outcome.name);
    let runs = [SandboxState::Running, SandboxState::Starting]
        .iter()
        .any(|state| outcome.state == state.as_str());
    if !runs {
        let state = escape::text(&outcome.state);
        return format!("{name} is {state}: it gets its credentials when it starts\n");
    }
    if outcome.credentials.is_empty() {
        return format!("{name} has no agent that needs a credential\n");
    }
    let lines = outcome.credentials.iter().map(|one| has(&name, one));
    lines.collect()
}

fn has(name: &str, credential: &CredentialInfo) -> String {
    let agent = escape::text(&credential.agent);
    let Some(value) = outcome::value(credential) else {
        return format!("{name}: {agent} has none\n");
    };
    let used = match credential.effect.as_str() {
        "live" => "used at once",
        _ => "used at its next launch",
    };
    format!("{name}: {agent} has {value}, {used}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn what_it_has_now() {
        let mut outcome = samples::outcome();
        assert_eq!(
            refreshed(&outcome),
            "s1: claude has 1a2b3c4d from token-store, used at its next launch\n"
        );
        outcome.credentials[0].effect = "live".into();
        assert!(refreshed(&outcome).ends_with(", used at once\n"));
        outcome.credentials[0].fingerprint = None;
        assert_eq!(refreshed(&outcome), "s1: claude has none\n");
        outcome.credentials.clear();
        assert!(refreshed(&outcome).starts_with("s1 has no agent"));
        outcome.state = "stopped".into();
        assert_eq!(
            refreshed(&outcome),
            "s1 is stopped: it gets its credentials when it starts\n"
        );
    }
}
