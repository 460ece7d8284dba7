//! What `refresh` and `revoke` say of each sandbox, and what their exit code is.

use std::cell::Cell;

use forage_api::bus::{AuthOutcome, AuthReply, CredentialInfo, TokensProxy};
use forage_api::exit;
use forage_api::ident::SandboxName;

use crate::Error;
use crate::args::Global;
use crate::bus::Bus;
use crate::output::{self, escape};
use crate::verbs::report;
use crate::verbs::several::Several;

/// Shows replies, and remembers whether all was done.
pub(super) struct Outcomes<'a> {
    global: &'a Global,
    /// What was done with a sandbox.
    done: fn(&AuthOutcome) -> String,
    /// What is so of a sandbox that was not reached: what comes before its credentials.
    otherwise: &'static str,
    incomplete: Cell<bool>,
    any_value: Cell<bool>,
}

impl<'a> Outcomes<'a> {
    pub(super) fn new(
        global: &'a Global,
        done: fn(&AuthOutcome) -> String,
        otherwise: &'static str,
    ) -> Self {
        Self {
            global,
            done,
            otherwise,
            incomplete: Cell::new(false),
            any_value: Cell::new(false),
        }
    }

    /// Makes the call for each that is named, or once for all there are.
    pub(super) fn gather<F>(
        &self,
        bus: &Bus,
        names: &[SandboxName],
        all: bool,
        call: impl Fn(TokensProxy<'static>, String) -> F,
    ) -> Result<u8, Error>
    where
        F: Future<Output = zbus::Result<AuthReply>> + 'static,
    {
        let several = Several::named(names);
        let name = match (all, several.single()) {
            (false, None) => return several.run(bus, self.global, call, |_, r| self.text(&r)),
            (_, name) => name.unwrap_or_default().to_owned(),
        };
        let reply = bus.tokens(async |tokens| call(tokens.clone(), name).await)?;
        self.say(&reply)
    }

    /// Says what came of a call about all sandboxes, or about one.
    fn say(&self, reply: &AuthReply) -> Result<u8, Error> {
        let text = self.text(reply);
        if reply.sandboxes.is_empty() {
            self.global.say("there is no sandbox\n")?;
        }
        self.global.say(&text)?;
        Ok(exit::OK)
    }

    /// What was done. What was not is said at once.
    fn text(&self, reply: &AuthReply) -> String {
        report::besides(self.global, &reply.warnings, &reply.debug);
        let mut text = String::new();
        for outcome in &reply.sandboxes {
            if outcome.credentials.iter().any(|one| value(one).is_some()) {
                self.any_value.set(true);
            }
            let name = escape::text(&outcome.name);
            if let Some(why) = &outcome.stale {
                self.incomplete.set(true);
                let values: Vec<String> = outcome.credentials.iter().filter_map(value).collect();
                let values = match values.as_slice() {
                    [] => "its credentials".to_owned(),
                    values => values.join(", "),
                };
                output::warning(&format!(
                    "{name} {} {values}, until it can be reached: {why}",
                    self.otherwise
                ));
            } else {
                text += &(self.done)(outcome);
            }
            if let Some(failure) = &outcome.failure {
                self.incomplete.set(true);
                output::error(&Error::failure(format!("{name}: {failure}")));
            }
        }
        text
    }

    /// Whether some sandbox has, or had, a value.
    pub(super) fn any_value(&self) -> bool {
        self.any_value.get()
    }

    /// The exit code, where the calls alone would lead to this one.
    pub(super) fn exit_code(&self, code: u8) -> u8 {
        if code == exit::OK && self.incomplete.get() {
            exit::FAILURE
        } else {
            code
        }
    }
}

/// A credential in few words; `None` where nothing is delivered.
pub(super) fn value(credential: &CredentialInfo) -> Option<String> {
    let fingerprint = credential.fingerprint.as_deref()?;
    Some(format!(
        "{} from {}",
        escape::text(fingerprint),
        escape::text(&credential.source)
    ))
}
