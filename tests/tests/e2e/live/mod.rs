//! One process of the real Claude Code, kept running in a sandbox, while its credential changes.

mod file;
mod login;
mod secret;
mod variable;

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::agent::{Agent, Turn};
use forage_tests::testbed::{Testbed, wait_for};
use forage_tests::vendor::Vendor;
use serde_json::Value;

use crate::network::world;
use crate::support::Sandbox;

/// What the API answers those it knows.
const HELLO: &str = "hello from the API";
/// What Claude Code says without a credential.
const LOGGED_OUT: &str = "Not logged in · Please run /login";

/// A sandbox of a person's, and the API its agents talk to.
struct Table {
    testbed: &'static Testbed,
    user: &'static str,
    sandbox: Sandbox,
    vendor: Vendor,
}

impl Table {
    fn lay(
        testbed: &'static Testbed,
        user: &'static str,
        name: &str,
        template: &str,
    ) -> Result<Self> {
        world::make(testbed)?;
        Ok(Self {
            testbed,
            user,
            vendor: Vendor::start(testbed)?,
            sandbox: Sandbox::up(testbed, user, name, template, &[])?,
        })
    }

    /// An agent that is launched now.
    fn launch(&self) -> Result<Agent<'static>> {
        Agent::start(self.testbed, self.user, &self.sandbox.name, &self.vendor)
    }

    /// The agent's next prompt is answered, and was sent with this credential alone.
    fn uses(&mut self, agent: &mut Agent<'_>, credential: &str) -> Result<()> {
        self.vendor.so_far()?;
        let turn = agent.prompt("hi")?;
        ensure!(turn == said(HELLO), "{turn:?}");
        let seen = self.seen()?;
        ensure!(seen == [(200, credential.to_owned())], "{seen:?}");
        agent.is_the_same()
    }

    /// The agent's next prompt is not sent to anybody, and the agent goes on.
    fn is_logged_out(&mut self, agent: &mut Agent<'_>) -> Result<()> {
        self.vendor.so_far()?;
        let turn = agent.prompt("hi")?;
        ensure!(turn.text == LOGGED_OUT, "{turn:?}");
        let seen = self.seen()?;
        ensure!(seen.is_empty(), "it was sent all the same: {seen:?}");
        agent.is_the_same()
    }

    /// What the API answered to what, one after the other; the same again is told once. An agent that
    /// is launched looks for the API first, without a credential.
    fn seen(&mut self) -> Result<Vec<(u16, String)>> {
        let asked = self.vendor.so_far()?.into_iter();
        let asked = asked.filter(|asked| !(asked.what == "HEAD /" && asked.credential.is_empty()));
        let mut seen: Vec<_> = asked
            .map(|asked| (asked.status, asked.credential))
            .collect();
        seen.dedup();
        Ok(seen)
    }

    /// The credential comes to be of a generation.
    fn reaches(&self, generation: u64) -> Result<()> {
        wait_for("a generation", Duration::from_secs(20), || {
            Ok((self.credential()?["generation"] == generation).then_some(()))
        })
    }

    /// What `status` says of the one credential.
    fn credential(&self) -> Result<Value> {
        Ok(self.sandbox.status()?["credentials"][0].take())
    }
}

fn said(text: &str) -> Turn {
    Turn {
        failed: false,
        text: text.to_owned(),
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
