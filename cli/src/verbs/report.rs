//! What `up`, `start`, `stop` and `down` say when their call has ended.

use std::time::Duration;

use forage_api::bus::{SandboxInfo, StartReply};
use forage_api::exit;

use crate::Error;
use crate::args::Global;
use crate::output::progress::Steps;
use crate::output::{self, escape, moment};

/// Ends the display of the steps; gives how long they took and what was answered.
pub(super) fn ended<R>(steps: Steps, reply: Result<R, Error>) -> Result<(Duration, R), Error> {
    match reply {
        Ok(reply) => Ok((steps.done(), reply)),
        Err(error) => {
            steps.failed();
            Err(error)
        }
    }
}

/// Says that a sandbox is ready, and what to do next.
pub(super) fn started(
    global: &Global,
    steps: Steps,
    reply: Result<StartReply, Error>,
) -> Result<u8, Error> {
    let (took, reply) = ended(steps, reply)?;
    warn(global, &reply);
    let name = escape::text(&reply.sandbox.name);
    global.say(&format!("{name} is ready in {}\n", moment::took(took)))?;
    if !global.quiet {
        output::note(&next(&reply.sandbox, global.owner.as_deref()));
    }
    Ok(exit::OK)
}

/// Shows what the daemon has to say about a start besides.
pub(super) fn warn(global: &Global, reply: &StartReply) {
    besides(global, &reply.warnings, &reply.debug);
}

/// Shows warnings, and what `-v` asks for.
pub(super) fn besides(global: &Global, warnings: &[String], debug: &[String]) {
    if global.verbose {
        debug.iter().for_each(|line| output::debug(line));
    }
    warnings.iter().for_each(|line| output::warning(line));
}

/// What to do with a sandbox that has just become ready.
fn next(sandbox: &SandboxInfo, owner: Option<&str>) -> String {
    let owner = owner.map_or_else(String::new, |owner| format!(" --owner {owner}"));
    let name = &sandbox.name;
    let mut advice = vec![
        (format!("shell {name}{owner}"), "enter it"),
        (format!("status {name}{owner}"), "see what it was given"),
        (format!("down {name}{owner}"), "remove it"),
    ];
    if !sandbox.credentials.is_empty() {
        advice.insert(0, (format!("agent {name}{owner}"), "start its agent"));
    }
    let width = advice.iter().map(|(verb, _)| verb.len()).max().unwrap_or(0);
    let lines = advice.iter().enumerate().map(|(number, (verb, what))| {
        let label = if number == 0 { "next:" } else { "" };
        format!(
            "{label:<5} forage-ctl {}  {what}\n",
            escape::text(&format!("{verb:<width$}"))
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn advice() {
        insta::assert_snapshot!(next(&samples::running(), None), @r"
        next: forage-ctl agent s1   start its agent
              forage-ctl shell s1   enter it
              forage-ctl status s1  see what it was given
              forage-ctl down s1    remove it
        ");
        insta::assert_snapshot!(next(&samples::unreadable(), Some("bob")), @r"
        next: forage-ctl shell s2 --owner bob   enter it
              forage-ctl status s2 --owner bob  see what it was given
              forage-ctl down s2 --owner bob    remove it
        ");
    }
}
