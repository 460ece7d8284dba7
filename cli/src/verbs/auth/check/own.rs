//! The agent's own word on whether it is logged in, next to what the host knows.

use forage_api::bus::CredentialInfo;
use forage_api::ident::AgentName;
use forage_api::places;
use forage_api::provider::Provider;
use jiff::Timestamp;
use serde::Deserialize;

use super::finding::Finding;
use super::inside::{Inside, PROGRAM};
use crate::Error;
use crate::exec::Said;
use crate::verbs::condition::Condition;

/// How Claude Code calls a program that gives it the key. It takes it for a login before it has asked.
const HELPER: &str = "api_key_helper";

/// What an agent says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It has no check of its own.
    Silent,
    /// It is logged in, by this method.
    LoggedIn(String),
    /// It is not.
    LoggedOut,
    /// It said nothing that could be understood, for this reason.
    Unclear(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    logged_in: bool,
    auth_method: Option<String>,
}

/// Asks an agent, if it is one that can be asked.
pub(super) fn ask(inside: &Inside<'_>, credential: &CredentialInfo) -> Result<Word, Error> {
    let Ok(agent) = credential.agent.parse::<AgentName>() else {
        return Ok(Word::Silent);
    };
    if !is_claude(&agent, credential) {
        return Ok(Word::Silent);
    }
    let program = format!("{}/{agent}", places::INSIDE_WRAPPERS);
    let said = inside.program(&[&program, "auth", "status"], PROGRAM)?;
    Ok(understood(&said))
}

/// Whether the agent is Claude Code, as far as its name and its credential tell.
pub(super) fn is_claude(agent: &AgentName, credential: &CredentialInfo) -> bool {
    match Provider::of_agent(agent) {
        Some(provider) => provider == Provider::Claude,
        None => credential.method == "oauth-token" || credential.delivery == "file",
    }
}

fn understood(said: &Said) -> Word {
    let Some(code) = said.code else {
        return Word::Unclear("it did not end within 30 seconds".into());
    };
    match serde_json::from_slice::<Status>(said.output.expose()) {
        Ok(Status {
            logged_in: false, ..
        }) => Word::LoggedOut,
        Ok(status) => {
            let method = status.auth_method.unwrap_or_else(|| "?".into());
            Word::LoggedIn(method.chars().take(32).collect())
        }
        Err(_) => Word::Unclear(format!(
            "it exited with {code} and did not say whether it is"
        )),
    }
}

impl Word {
    /// What it says, in a line.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Silent => {
                "nothing: it has no check of its own, so only what was delivered is known".into()
            }
            Self::LoggedIn(method) if method == HELPER => {
                format!("logged in by {method}, which it asks for the key each time")
            }
            Self::LoggedIn(method) => format!("logged in by {method}"),
            Self::LoggedOut => "not logged in".into(),
            Self::Unclear(why) => format!("nothing that could be understood: {why}"),
        }
    }

    /// What does not fit to what the host knows.
    pub(super) fn against(
        &self,
        credential: &CredentialInfo,
        name: &str,
        now: Timestamp,
    ) -> Option<Finding> {
        use Condition as C;
        let agent = &credential.agent;
        let look = format!("forage-ctl exec {name} -- {agent} auth status");
        let there = matches!(
            Condition::of(credential, now),
            C::Ok | C::Expiring | C::Stale
        );
        match self {
            Self::LoggedIn(method) if there && !fits(method, credential) => Some(Finding::new(
                format!("{agent} uses another credential than the one delivered: it says {method}"),
                "see what else was found; if nothing was, what it runs with was set inside",
            )),
            Self::LoggedIn(method) if method == HELPER && fits(method, credential) => None,
            Self::LoggedIn(_) if !there => Some(Finding::new(
                format!("{agent} says that it is logged in, though not by what is delivered now"),
                "it has a credential of its own, or a process kept an older one",
            )),
            Self::LoggedOut if there => Some(Finding::new(
                format!("{agent} says that it is not logged in, though a credential was delivered"),
                format!("see for yourself: {look}\nthen: forage-ctl auth refresh {name}"),
            )),
            Self::Unclear(why) => Some(Finding::new(
                format!("{agent} could not be asked whether it is logged in: {why}"),
                format!("see for yourself: {look}"),
            )),
            _ => None,
        }
    }
}

/// Whether a method of Claude Code's is what was delivered.
fn fits(method: &str, credential: &CredentialInfo) -> bool {
    match (credential.method.as_str(), credential.delivery.as_str()) {
        ("oauth-token", "file") => method == "claude.ai",
        ("oauth-token", _) => method == "oauth_token",
        ("api-key", _) => ["api_key", HELPER].contains(&method),
        _ => true,
    }
}

/// What is not as it should be by what the host knows, whatever the sandbox says.
pub(super) fn known(credential: &CredentialInfo, name: &str, now: Timestamp) -> Option<Finding> {
    let agent = &credential.agent;
    let refresh = format!("forage-ctl auth refresh {name}");
    let renew = match credential.source.as_str() {
        "host-login" => format!("run claude on this host, which renews the login, then {refresh}"),
        source if source.starts_with("secret:") => "renew the secret's file".to_owned(),
        _ => "claude setup-token prints a token; store it with: forage-ctl claude token store"
            .to_owned(),
    };
    let set_up = "claude setup-token, then forage-ctl claude token store; or claude auth login on this host, then";
    match Condition::of(credential, now) {
        Condition::Ok => None,
        Condition::Expiring => Some(Finding::new(
            format!("the credential of {agent} expires soon"),
            renew,
        )),
        Condition::Expired => Some(Finding::new(
            format!("the credential of {agent} has expired"),
            renew,
        )),
        Condition::Revoked => Some(Finding::new(
            format!("the credential of {agent} is revoked"),
            format!("{refresh} gives it back"),
        )),
        Condition::Stale => {
            let why = credential.stale.as_deref().unwrap_or_default();
            Some(Finding::new(
                format!("a change of the credential of {agent} has not arrived: {why}"),
                format!("it is tried again by itself; {refresh} tries now"),
            ))
        }
        Condition::None if credential.source.starts_with("secret:") => Some(Finding::new(
            format!("nothing is delivered to {agent}"),
            "see to the secret's file",
        )),
        Condition::None => Some(Finding::new(
            format!("nothing is delivered to {agent}"),
            format!("{set_up} {refresh}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;
    use forage_api::Secret;

    fn now() -> Timestamp {
        "2026-03-20T21:00:00Z".parse().unwrap()
    }

    fn said(code: Option<u8>, output: &str) -> Word {
        understood(&Said {
            code,
            output: Secret::new(output.as_bytes().to_vec()),
        })
    }

    #[test]
    fn what_an_agent_says() {
        let yes = r#"{"loggedIn": true, "authMethod": "oauth_token", "apiProvider": "firstParty"}"#;
        assert_eq!(said(Some(0), yes), Word::LoggedIn("oauth_token".into()));
        let no = r#"{"loggedIn": false, "authMethod": "none"}"#;
        assert_eq!(said(Some(1), no), Word::LoggedOut);
        let long = format!(
            r#"{{"loggedIn":true,"authMethod":"{}"}}"#,
            "\\u001b[2J".repeat(100)
        );
        let word = said(Some(0), &long);
        assert!(word.shown().len() < 100);
        for (code, output) in [(Some(127), ""), (Some(0), "loggedIn"), (None, yes)] {
            assert!(matches!(said(code, output), Word::Unclear(_)), "{output}");
        }
    }

    #[test]
    fn the_hosts_facts_stand_whatever_is_said() {
        let mut one = samples::running().credentials.remove(0);
        assert_eq!(known(&one, "s1", now()), None);
        let yes = Word::LoggedIn("oauth_token".into());
        assert_eq!(yes.against(&one, "s1", now()), None);
        assert!(Word::LoggedOut.against(&one, "s1", now()).is_some());
        assert!(
            Word::LoggedIn("api_key".into())
                .against(&one, "s1", now())
                .is_some()
        );
        assert_eq!(Word::Silent.against(&one, "s1", now()), None);
        one.revoked = true;
        one.fingerprint = None;
        let found = known(&one, "s1", now()).unwrap();
        assert!(found.what.ends_with("is revoked") && found.advice.contains("auth refresh s1"));
        assert!(
            yes.against(&one, "s1", now())
                .unwrap()
                .what
                .contains("though not by")
        );
        assert_eq!(Word::LoggedOut.against(&one, "s1", now()), None);
    }

    #[test]
    fn who_is_claude_code() {
        let mut one = samples::running().credentials.remove(0);
        let is = |agent: &str, one: &CredentialInfo| is_claude(&agent.parse().unwrap(), one);
        assert!(is("claude", &one) && is("mine", &one) && !is("aider", &one));
        one.method = "api-key".into();
        assert!(is("claude", &one) && !is("mine", &one));
        one.delivery = "file".into();
        // That it would ask says nothing about what it would get.
        let asks = Word::LoggedIn(HELPER.into());
        assert!(asks.shown().ends_with("each time"));
        one.revoked = true;
        assert_eq!(asks.against(&one, "s1", now()), None);
        assert!(is("mine", &one));
        assert!(fits("api_key_helper", &one) && !fits("oauth_token", &one));
    }
}
