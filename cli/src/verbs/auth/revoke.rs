//! `auth revoke`: takes credentials away, and says what each sandbox held.

use forage_api::bus::{AuthOutcome, RevokeOptions, SandboxState, TokensProxy};

use super::outcome::{Outcomes, value};
use crate::Error;
use crate::args::{AuthRevoke, Global};
use crate::bus::Bus;
use crate::output::{self, escape};
use crate::verbs::several::whose;

const AT_THE_VENDOR: &str =
    "hint: what an agent has read it may have sent away: revoke it at its vendor, too\n";

pub(in crate::verbs) fn run(global: &Global, arguments: &AuthRevoke) -> Result<u8, Error> {
    if arguments.all {
        whose(global)?;
    }
    let options = options(global, arguments);
    let bus = Bus::connect()?;
    let outcomes = Outcomes::new(global, revoked, "may still have");
    let call = |tokens: TokensProxy<'static>, name: String| {
        let options = options.clone();
        async move { tokens.revoke(&name, &options).await }
    };
    let code = outcomes.gather(&bus, &arguments.names, arguments.all, call)?;
    if outcomes.any_value() && !global.quiet {
        output::note(AT_THE_VENDOR);
    }
    Ok(outcomes.exit_code(code))
}

fn options(global: &Global, arguments: &AuthRevoke) -> RevokeOptions {
    let then = match (arguments.freeze, arguments.stop) {
        (true, _) => Some("freeze"),
        (_, true) => Some("stop"),
        _ => None,
    };
    RevokeOptions {
        owner: global.owner.clone(),
        then: then.map(str::to_owned),
    }
}

/// What a sandbox held, and who may still have it.
fn revoked(outcome: &AuthOutcome) -> String {
    let name = escape::text(&outcome.name);
    let held: Vec<String> = outcome
        .credentials
        .iter()
        .filter_map(|one| Some(format!("{} held {}", escape::text(&one.agent), value(one)?)))
        .collect();
    let state = escape::text(&outcome.state);
    let runs = outcome.state == SandboxState::Running.as_str();
    let mut text = match held.as_slice() {
        [] => format!("{name} is revoked; nothing was delivered to it"),
        held => format!("{name} is revoked; {}", held.join("; ")),
    };
    if !runs {
        text += &format!("; it is {state}");
    }
    text.push('\n');
    text + &kept(outcome, &name)
}

/// What processes have in their environment nobody can take from them.
fn kept(outcome: &AuthOutcome, name: &str) -> String {
    let in_environment = |one: &&forage_api::bus::CredentialInfo| {
        value(one).is_some() && !one.variable.is_empty() && one.delivery != "file"
    };
    let variables: Vec<String> = outcome
        .credentials
        .iter()
        .filter(in_environment)
        .map(|one| escape::text(&one.variable))
        .collect();
    let end = match outcome.state.parse() {
        Ok(SandboxState::Running) => format!("forage-ctl stop {name} ends them"),
        Ok(SandboxState::Frozen) => format!("they stand still; forage-ctl stop {name} ends them"),
        _ => return String::new(),
    };
    if variables.is_empty() {
        return String::new();
    }
    format!(
        "  processes that were started before keep {} in their environment until they end: {end}\n",
        variables.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{AuthVerb, Verb, parse};
    use crate::verbs::samples;

    #[test]
    fn what_was_held_and_what_stays() {
        let mut outcome = samples::outcome();
        insta::assert_snapshot!(revoked(&outcome), @r"
        s1 is revoked; claude held 1a2b3c4d from token-store
          processes that were started before keep CLAUDE_CODE_OAUTH_TOKEN in their environment until they end: forage-ctl stop s1 ends them
        ");
        outcome.state = "frozen".into();
        insta::assert_snapshot!(revoked(&outcome), @r"
        s1 is revoked; claude held 1a2b3c4d from token-store; it is frozen
          processes that were started before keep CLAUDE_CODE_OAUTH_TOKEN in their environment until they end: they stand still; forage-ctl stop s1 ends them
        ");
        outcome.state = "stopped".into();
        insta::assert_snapshot!(revoked(&outcome), @"s1 is revoked; claude held 1a2b3c4d from token-store; it is stopped");
        outcome.state = "running".into();
        outcome.credentials[0].delivery = "file".into();
        outcome.credentials[0].variable = String::new();
        insta::assert_snapshot!(revoked(&outcome), @"s1 is revoked; claude held 1a2b3c4d from token-store");
        outcome.credentials[0].fingerprint = None;
        insta::assert_snapshot!(revoked(&outcome), @"s1 is revoked; nothing was delivered to it");
    }

    #[test]
    fn what_happens_then() {
        let then = |line: &[&str]| {
            let words = ["forage-ctl", "auth", "revoke"].iter().chain(line);
            let cli = parse(words.map(Into::into)).ok()?;
            let Verb::Auth(auth) = cli.verb else { panic!() };
            let AuthVerb::Revoke(arguments) = auth.verb else {
                panic!()
            };
            Some(options(&cli.global, &arguments))
        };
        let of = |then: Option<&str>| {
            Some(RevokeOptions {
                owner: None,
                then: then.map(Into::into),
            })
        };
        assert_eq!(then(&["s1"]), of(None));
        assert_eq!(then(&["s1", "--freeze"]), of(Some("freeze")));
        assert_eq!(then(&["--all", "--stop"]), of(Some("stop")));
        for wrong in [&[][..], &["--all", "s1"], &["s1", "--stop", "--freeze"]] {
            assert_eq!(then(wrong), None, "{wrong:?}");
        }
    }
}
