//! Stopping the sandbox's processes where they stand, and letting them go on.

use std::time::Duration;

use forage_api::{ErrorKind, Failure};
use sd_notify::NotifyState;

use super::build::{notify, status};
use super::requests::not_running;
use super::{Phase, Run};
use crate::fail::cannot;
use crate::sys::time::Deadline;

/// How long the processes have to stop. It takes them microseconds, unless one waits for a device.
const STOPPING: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Freezes the container and every command. Of what is frozen already it waits once more until
    /// it has stopped.
    pub(super) fn freeze(&mut self) -> Result<(), Failure> {
        let Phase::Running = self.phase else {
            return Err(not_running());
        };
        let stopped = self.unit.freeze(Deadline::after(STOPPING));
        let stopped =
            stopped.map_err(|error| cannot(ErrorKind::Internal, "freeze the sandbox", error))?;
        // Also where one has not stopped yet: nothing new is started in it.
        self.say_frozen(true);
        if stopped {
            return Ok(());
        }
        let message =
            "some of the sandbox's processes have not stopped yet: they wait in the kernel";
        Err(
            Failure::new(ErrorKind::SandboxFailed, message).hint(format!(
                "they stop before they do anything else; to end them: forage-ctl stop {}",
                self.sandbox.record.name
            )),
        )
    }

    /// Lets frozen processes go on. Those that run are let alone.
    pub(super) fn thaw(&mut self) -> Result<(), Failure> {
        let Phase::Running = self.phase else {
            return Err(not_running());
        };
        self.unit
            .thaw()
            .map_err(|error| cannot(ErrorKind::Internal, "let the sandbox go on", error))?;
        self.say_frozen(false);
        Ok(())
    }

    fn say_frozen(&mut self, frozen: bool) {
        if self.frozen == frozen {
            return;
        }
        self.change(|run| run.frozen = frozen);
        let word = if frozen { "frozen" } else { "running" };
        notify(&[NotifyState::Status(&status(self.sandbox, word))]);
    }

    /// Why nothing is started in it.
    pub(super) fn is_frozen(&self) -> Failure {
        let name = &self.sandbox.record.name;
        Failure::new(
            ErrorKind::SandboxFrozen,
            format!("sandbox {name} is frozen"),
        )
        .hint(format!(
            "forage-ctl auth refresh {name} brings its credentials back and lets it go on"
        ))
    }
}
