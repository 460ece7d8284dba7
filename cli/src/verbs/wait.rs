//! `wait`: waits until a sandbox is in a state.

use std::time::Duration;

use forage_api::bus::OwnerOptions;
use forage_api::{ErrorKind, exit};

use crate::args::{Global, Goal, Wait};
use crate::bus::{Bus, Watch, failed};
use crate::{Error, output};

/// How long at most until the next look, should the daemon have had too much to tell.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

pub(super) fn run(global: Global, arguments: &Wait) -> Result<u8, Error> {
    let options = global.options();
    let name = arguments.name.as_str();
    let mut waiting = Waiting::for_any(&arguments.states);
    let bus = Bus::connect()?;
    let watch = Watch {
        sandbox: Some(name),
        pause: LOOK_AGAIN,
    };
    let reached = bus.watch(watch, async |manager, _| {
        let state = state(manager, name, &options).await?;
        waiting.look(name, state)
    })?;
    global.say(&format!("{}\n", output::escape::text(&reached)))?;
    Ok(exit::OK)
}

/// A sandbox's state; an error with its kind where there is none.
pub(super) async fn state(
    manager: &forage_api::bus::ManagerProxy<'_>,
    name: &str,
    options: &OwnerOptions,
) -> Result<Option<String>, Error> {
    match manager
        .get(name, options)
        .await
        .map_err(|error| failed(&error))
    {
        Ok(sandbox) => Ok(Some(sandbox.state)),
        Err(error) if error.kind == Some(ErrorKind::NoSuchSandbox) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is waited for, and whether the sandbox has been seen.
struct Waiting {
    goals: Vec<Goal>,
    /// Whether that it is not there may be what was waited for: only who asks for it may name one that
    /// never was.
    seen: bool,
}

impl Waiting {
    fn for_any(goals: &[Goal]) -> Self {
        let default = [Goal::Stopped, Goal::Failed, Goal::Removed];
        Self {
            goals: if goals.is_empty() {
                default.to_vec()
            } else {
                goals.to_vec()
            },
            seen: goals.contains(&Goal::Removed),
        }
    }

    fn wants(&self, goal: Goal) -> bool {
        self.goals.contains(&goal)
    }

    /// Gives the state if it is one that is waited for.
    fn look(&mut self, name: &str, state: Option<String>) -> Result<Option<String>, Error> {
        let Some(state) = state else {
            if self.seen && self.wants(Goal::Removed) {
                return Ok(Some("removed".into()));
            }
            let message = if self.seen {
                format!("sandbox {name} was removed")
            } else {
                format!("there is no sandbox {name}")
            };
            let mut error = Error::new(exit::NO_SUCH, message);
            error.kind = Some(ErrorKind::NoSuchSandbox);
            return Err(error.hint("forage-ctl ps lists your sandboxes"));
        };
        self.seen = true;
        let goal = match state.as_str() {
            "running" => Goal::Running,
            "frozen" => Goal::Frozen,
            "stopped" => Goal::Stopped,
            "failed" => Goal::Failed,
            _ => return Ok(None),
        };
        if self.wants(goal) {
            return Ok(Some(state));
        }
        if goal == Goal::Failed && self.wants(Goal::Running) {
            let message = format!("sandbox {name} failed");
            return Err(Error::new(exit::SANDBOX_FAILED, message)
                .hint(format!("forage-ctl status {name} says why")));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row of states leads to: the last one, or an exit code.
    fn waited(goals: &[Goal], states: &[Option<&str>]) -> Result<Option<String>, u8> {
        let mut waiting = Waiting::for_any(goals);
        for state in states {
            let state = state.map(str::to_owned);
            match waiting.look("s1", state) {
                Ok(None) => {}
                Ok(reached) => return Ok(reached),
                Err(error) => return Err(error.exit),
            }
        }
        Ok(None)
    }

    #[test]
    fn what_waiting_comes_to() {
        use Goal::{Failed, Frozen, Removed, Running, Stopped};
        let reached = |state: &str| Ok(Some(state.to_owned()));
        let run = Some("running");
        type Row<'a> = (
            &'a [Goal],
            &'a [Option<&'a str>],
            Result<Option<String>, u8>,
        );
        let table: [Row<'_>; 14] = [
            (
                &[],
                &[run, Some("stopping"), Some("stopped")],
                reached("stopped"),
            ),
            (&[], &[run, Some("failed")], reached("failed")),
            (&[], &[run, Some("removing"), None], reached("removed")),
            (&[], &[run, Some("unreadable"), Some("odd")], Ok(None)),
            (&[], &[None], Err(3)),
            (&[Running], &[Some("starting"), run], reached("running")),
            (&[Running], &[Some("stopped")], Ok(None)),
            (&[Running], &[Some("starting"), Some("failed")], Err(8)),
            (&[Running, Failed], &[Some("failed")], reached("failed")),
            (&[Running], &[Some("starting"), None], Err(3)),
            (&[Stopped], &[run, Some("failed")], Ok(None)),
            (&[Stopped], &[run, None], Err(3)),
            (&[Removed], &[None], reached("removed")),
            (&[Frozen], &[run, Some("frozen")], reached("frozen")),
        ];
        for (goals, states, expected) in table {
            assert_eq!(waited(goals, states), expected, "{goals:?} {states:?}");
        }
    }
}
