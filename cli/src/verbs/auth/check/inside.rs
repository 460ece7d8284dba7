//! Asking inside a sandbox. Whoever runs there decides what is answered, how long it takes and how much
//! it is.

use std::ffi::OsString;
use std::time::Duration;

use forage_api::ident::SandboxName;

use crate::Error;
use crate::args::Global;
use crate::bus::Bus;
use crate::exec::{Request, Said, within};

/// How much of an answer is taken.
const MOST: usize = 512 * 1024;
/// How long a look may take, and a program of the agent's.
pub(super) const LOOK: Duration = Duration::from_secs(10);
pub(super) const PROGRAM: Duration = Duration::from_secs(30);

/// A running sandbox.
pub(super) struct Inside<'a> {
    pub(super) bus: &'a Bus,
    pub(super) global: &'a Global,
    pub(super) name: &'a SandboxName,
}

impl Inside<'_> {
    /// Runs a program as the agent's user, with its credentials.
    pub(super) fn program(&self, words: &[&str], time: Duration) -> Result<Said, Error> {
        self.run(&request(words)?, MOST, time)
    }

    /// Runs a script of ours as the agent's user, without credentials.
    pub(super) fn script(&self, script: &str, words: &[&str]) -> Result<Said, Error> {
        self.long_script(script, words, MOST)
    }

    /// The same of one that may say so much.
    pub(super) fn long_script(
        &self,
        script: &str,
        words: &[&str],
        most: usize,
    ) -> Result<Said, Error> {
        let words = [&["sh", "-c", script, "sh"][..], words].concat();
        self.run(&request(&words)?.without_credentials(), most, LOOK)
    }

    fn run(&self, request: &Request, most: usize, time: Duration) -> Result<Said, Error> {
        let options = self.global.options();
        let call = async |manager: &forage_api::bus::ManagerProxy<'_>| {
            manager.exec(self.name.as_str(), &options).await
        };
        let socket = self.bus.manager(call)?;
        within(socket.into(), request, most, time)
    }
}

fn request(words: &[&str]) -> Result<Request, Error> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    Request::new(&words, &[], None, |_| None)
}
