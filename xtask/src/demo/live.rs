//! The end of the story: one process of an agent, kept running, while its credential changes and goes.

use anyhow::{Result, ensure};
use forage_tests::agent::Agent;
use forage_tests::testbed::Testbed;
use forage_tests::vendor::Vendor;

use super::{STORE, token};
use crate::story::{Story, Told};

/// The agent and whom it asks.
struct Talk<'a> {
    agent: Agent<'a>,
    vendor: Vendor,
}

impl Talk<'_> {
    /// A prompt; what the agent says, and with which token it asked its API.
    fn turn(&mut self, story: &mut Story<'_>, title: &str, token: Option<&str>) -> Result<()> {
        story.say(title);
        story.typed("hi");
        let turn = self.agent.prompt("hi")?;
        story.shown(&turn.text);
        let asked = self.vendor.so_far()?;
        let asked = asked.iter().filter(|asked| asked.what != "HEAD /");
        let seen: Vec<String> = asked
            .map(|asked| format!("{} {}", asked.status, asked.credential))
            .collect();
        story.note(match &seen[..] {
            [] => "the API was asked nothing",
            [one] => one,
            _ => "the API was asked more than once",
        });
        let (said, wanted) = match token {
            Some(token) => ("hello from the API", vec![format!("200 Bearer {token}")]),
            None => ("Not logged in · Please run /login", Vec::new()),
        };
        ensure!(
            turn.text == said && seen == wanted,
            "{title}: {turn:?}, {seen:?}"
        );
        self.agent.is_the_same()?;
        story.note(&format!("by process {}", self.agent.pid()));
        Ok(())
    }
}

/// Needs a token that is stored and the internet around the host.
pub(super) fn live(story: &mut Story<'_>, testbed: &Testbed, stored: &str) -> Result<()> {
    story.step(
        "A template can deliver the token in a file that Claude Code reads again and again",
        "alice",
        "forage-ctl up s5 -t live",
    )?;
    let mut vendor = Vendor::start(testbed)?;
    let (next, last) = (token('c'), token('d'));
    for token in [stored, &next, &last] {
        vendor.accept(token)?;
    }
    let agent = Agent::start(testbed, "alice", "s5", &vendor)?;
    let mut talk = Talk { agent, vendor };
    let title = "One process of the real Claude Code is started there, and is kept running";
    talk.turn(story, title, Some(stored))?;
    replace(
        story,
        testbed,
        "alice stores another token meanwhile",
        &next,
    )?;
    talk.turn(
        story,
        "That process uses it at its next prompt",
        Some(&next),
    )?;
    story
        .step(
            "She revokes the sandbox's credentials",
            "alice",
            "forage-ctl auth revoke s5",
        )?
        .shows(&["s5"])?;
    let title = "The process is logged out at its next prompt";
    talk.turn(story, title, None)?;
    let title = "A token that is stored now does not reach it";
    replace(story, testbed, title, &last)?.shows(&["s5 is revoked"])?;
    talk.turn(story, "It stays logged out", None)?;
    story.step(
        "until she wants it to have one again",
        "alice",
        "forage-ctl auth refresh s5",
    )?;
    talk.turn(
        story,
        "Then it is logged in again, and is still the same process",
        Some(&last),
    )?;
    ensure!(talk.agent.end()?.success(), "the agent did not end well");
    story.step("alice ends this one", "alice", "forage-ctl down s5")?;
    Ok(())
}

fn replace(story: &mut Story<'_>, testbed: &Testbed, title: &str, token: &str) -> Result<Told> {
    testbed.write_file("/home/alice/token", "alice", "0600", token.as_bytes())?;
    story.step(title, "alice", STORE)
}
