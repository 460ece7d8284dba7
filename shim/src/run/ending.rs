//! Stopping a sandbox, and what the end of its container means.

use std::time::Duration;

use forage_api::{ErrorKind, Failure};
use rustix::process::WaitIdStatus;
use sd_notify::NotifyState;

use super::build::{notify, status};
use super::{Phase, Run};
use crate::sys::time::Deadline;

/// How long the sessions of executed commands have to pass on how those ended.
const FAREWELL: Duration = Duration::from_secs(1);
/// The status of nspawn when the container asked for a reboot, which is a clean stop.
const REBOOT: i32 = 133;

impl Run<'_> {
    /// Begins to stop: the container's services are asked to.
    pub(super) fn stop(&mut self) {
        match self.phase {
            Phase::Awaiting(_) => {
                let now = Deadline::after(Duration::ZERO);
                self.enter(Phase::Ended(now, Ok(())));
            }
            // What was frozen is not trusted: it gets no chance to run on.
            Phase::Running if self.frozen => {
                self.say_stopping();
                self.kill_all();
                self.enter(Phase::Killed);
            }
            Phase::Booting(_) | Phase::Running => {
                self.say_stopping();
                let asked = self.leader.as_ref().map(|(leader, _)| leader.power_off());
                if let Some(Ok(())) = asked {
                    let deadline = Deadline::after(self.sandbox.stop_timeout);
                    self.enter(Phase::Stopping(deadline));
                } else {
                    // Nothing of the container's runs yet that could be asked.
                    self.kill_all();
                    self.enter(Phase::Killed);
                }
            }
            Phase::Stopping(_) | Phase::Killed | Phase::Ended(..) => {}
        }
    }

    fn say_stopping(&self) {
        let status = status(self.sandbox, "stopping");
        notify(&[NotifyState::Stopping, NotifyState::Status(&status)]);
    }

    /// Ends everything of the sandbox at once.
    pub(super) fn kill_all(&self) {
        if let Some(container) = &self.container {
            container.kill();
        }
        self.unit.kill_sandbox();
    }

    /// The container's end. The run ends with the sessions of its commands.
    pub(super) fn container_ended(&mut self, status: &WaitIdStatus) {
        self.last_words();
        let result = self.verdict(status.exit_status(), status.terminating_signal());
        self.container = None;
        self.unit.kill_sandbox();
        self.enter(Phase::Ended(Deadline::after(FAREWELL), result));
    }

    fn verdict(&mut self, status: Option<i32>, signal: Option<i32>) -> Result<(), Failure> {
        let failed =
            |what: String| Err(Failure::new(ErrorKind::SandboxFailed, what).hint(self.log_hint()));
        let how = match (status, signal) {
            (Some(status), _) => format!("systemd-nspawn ended with status {status}"),
            (None, signal) => format!(
                "systemd-nspawn was killed by {}",
                crate::report::signal_name(signal.unwrap_or_default())
            ),
        };
        match (&self.phase, status) {
            (Phase::Killed | Phase::Ended(..), _) => Ok(()),
            (Phase::Running | Phase::Stopping(_), Some(0 | REBOOT)) => Ok(()),
            (Phase::Awaiting(_) | Phase::Booting(_), Some(0 | REBOOT)) => {
                failed("the container stopped before it was ready".to_owned())
            }
            (Phase::Awaiting(_) | Phase::Booting(_), _) => {
                failed(format!("the container did not become ready: {how}"))
            }
            (Phase::Stopping(_), Some(_)) => {
                tracing::warn!("{how} while stopping");
                self.log.note(&format!("{how} while stopping"));
                Ok(())
            }
            (Phase::Running, Some(_)) => failed(format!(
                "the first process of the container was killed or crashed: {how}"
            )),
            (Phase::Running | Phase::Stopping(_), _) => failed(how),
        }
    }

    /// The run's result when nothing of it is left.
    pub(super) fn ended(&mut self) -> Option<Result<(), Failure>> {
        match &self.phase {
            Phase::Ended(deadline, result) if self.sessions.is_empty() || deadline.is_over() => {
                Some(result.clone())
            }
            _ => None,
        }
    }

    pub(super) fn log_hint(&self) -> String {
        format!(
            "see what it said: forage-ctl logs {} --start",
            self.sandbox.record.name
        )
    }
}
