//! `auth check`: whether agents are logged in by what was delivered, as far as that can be seen from
//! here. What the host knows comes first, and nothing that is said inside can take it back.

mod finding;
mod inside;
mod own;
mod scan;
mod settings;

use forage_api::bus::{CredentialInfo, SandboxInfo, SandboxState};
use forage_api::{ErrorKind, Failure, exit};
use jiff::Timestamp;

use super::outcome::value;
use crate::Error;
use crate::args::{AuthCheck, Global};
use crate::bus::Bus;
use crate::output::moment;
use crate::output::paint::Paint;
use crate::output::table::{Cell, pairs};
use finding::Finding;
use inside::Inside;
use own::Word;
use scan::Delivered;

pub(in crate::verbs) fn run(global: &Global, arguments: &AuthCheck) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let name = &arguments.name;
    let sandbox = bus.manager(async |manager| manager.get(name.as_str(), &options).await)?;
    runs(&sandbox)?;
    if sandbox.credentials.is_empty() {
        global.say(&format!("{name} has no agent that needs a credential\n"))?;
        return Ok(exit::OK);
    }
    let inside = Inside {
        bus: &bus,
        global,
        name,
    };
    let now = Timestamp::now();
    let mut found = Vec::new();
    for credential in &sandbox.credentials {
        found.extend(own::known(credential, name.as_str(), now));
        let word = own::ask(&inside, credential)?;
        found.extend(word.against(credential, name.as_str(), now));
        global.say(&pairs(&facts(credential, &word, now), Paint::stdout()))?;
    }
    found.extend(competing(&inside, &sandbox)?);
    found.iter().for_each(Finding::warn);
    if found.is_empty() {
        global.say("nothing was found that competes; no vendor was asked whether it is valid\n")?;
        return Ok(exit::OK);
    }
    Ok(exit::FAILURE)
}

fn runs(sandbox: &SandboxInfo) -> Result<(), Error> {
    if sandbox.state == SandboxState::Running.as_str() {
        return Ok(());
    }
    let (name, state) = (&sandbox.name, &sandbox.state);
    let hint = match state.parse() {
        Ok(SandboxState::Frozen) => format!("forage-ctl auth refresh {name} lets it go on"),
        _ => format!("forage-ctl auth status {name} says what the host knows"),
    };
    let message = format!("sandbox {name} is {state}: nobody in it can be asked");
    let failure = Failure::new(ErrorKind::SandboxNotRunning, message);
    Err(failure.hint(hint).into())
}

/// What in the sandbox competes with what was delivered.
fn competing(inside: &Inside<'_>, sandbox: &SandboxInfo) -> Result<Vec<Finding>, Error> {
    let delivered = Delivered::new(&sandbox.credentials);
    let seen = scan::look(inside, &delivered)?;
    let mut found = seen.findings(&sandbox.name, &delivered);
    let claude = |one: &CredentialInfo| {
        let agent = one.agent.parse();
        agent.is_ok_and(|agent| own::is_claude(&agent, one))
    };
    if sandbox.credentials.iter().any(claude) {
        found.extend(settings::look(inside)?);
    }
    Ok(found)
}

/// What the host knows of a credential, and what the agent says.
fn facts(credential: &CredentialInfo, word: &Word, now: Timestamp) -> Vec<(&'static str, Cell)> {
    let delivered = match value(credential) {
        None if credential.revoked => "nothing: it is revoked".to_owned(),
        None => "nothing".to_owned(),
        Some(value) => {
            let expires = credential.expires_at.as_deref();
            let expires = expires.map(|time| {
                let until = moment::until(time, now).unwrap_or_default();
                format!(", expires {} ({until})", moment::day(time))
            });
            format!(
                "{} {value}, by {}{}",
                credential.method,
                credential.delivery,
                expires.unwrap_or_default()
            )
        }
    };
    vec![
        ("agent", credential.agent.as_str().into()),
        ("  delivered", delivered.into()),
        ("  it says", word.shown().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn facts_and_words_are_told_apart() {
        let now = "2026-03-20T21:00:00Z".parse().unwrap();
        let one = samples::running().credentials.remove(0);
        let word = Word::LoggedIn("oauth_token".into());
        insta::assert_snapshot!(pairs(&facts(&one, &word, now), Paint::plain()), @r"
        agent        claude
          delivered  oauth-token 1a2b3c4d from token-store, by env, expires 2027-03-19 (in 364 days)
          it says    logged in by oauth_token
        ");
    }

    #[test]
    fn who_does_not_run_is_not_asked() {
        let mut sandbox = samples::running();
        assert!(runs(&sandbox).is_ok());
        for (state, hint) in [("stopped", "auth status s1"), ("frozen", "auth refresh s1")] {
            sandbox.state = state.into();
            let error = runs(&sandbox).unwrap_err();
            assert_eq!(error.exit, exit::WRONG_STATE);
            assert!(error.hint.contains(hint), "{}", error.hint);
        }
    }
}
