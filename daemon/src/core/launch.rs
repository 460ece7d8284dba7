//! From a queued job to a running sandbox: reaching the shim, handing it the token, following its
//! steps. Used for starts, and for sandboxes that were starting when this process began.

use std::time::Duration;

use forage_api::record::{Phase, SandboxRecord};
use forage_api::shim::control::{Event, RunState};
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure};
use tokio::time::{Instant, timeout, timeout_at};

use super::hand_over::How;
use super::handle::{Core, note};
use super::link::Link;
use super::ports::{Job, JobEnd, Unit, UnitState};
use super::progress::Progress;
use super::resolve::Resolution;
use super::run::{REPORT_WAIT, RunEnd, RunGuard, no_report, sandbox_failed};

/// How long a shim may take to make its socket.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// How much longer than the shim the daemon waits for a start.
const GRACE: Duration = Duration::from_secs(15);
/// How long systemd may take to tell that a job has ended before it is asked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long what is left of a failed start may take to go.
const CLEANUP_WAIT: Duration = Duration::from_secs(30);

/// Why a start came to nothing.
pub(super) enum Stumble {
    /// Nothing was changed.
    Refused(Failure),
    /// It was begun, and failed.
    Failed(Failure),
}

/// A start that is under way.
pub(super) struct Launch<'a> {
    pub(super) core: &'a Core,
    pub(super) record: &'a SandboxRecord,
    pub(super) progress: &'a Progress,
    /// When it began: older reports are about something else.
    pub(super) since: u64,
    /// The job of its unit; `None` where another process asked for it.
    pub(super) job: Option<Job>,
    pub(super) deadline: Instant,
}

impl<'a> Launch<'a> {
    /// Has the unit started.
    pub(super) async fn begin(
        core: &'a Core,
        record: &'a SandboxRecord,
        progress: &'a Progress,
    ) -> Result<Self, Stumble> {
        progress.step("starting");
        let config = core.config().await.map_err(Stumble::Refused)?;
        let since = core.ports().clock.boot_time_ns();
        let unit = Unit::Sandbox(record.id);
        let job = core
            .ports()
            .units
            .start(unit)
            .await
            .map_err(Stumble::Refused)?;
        Ok(Self {
            core,
            record,
            progress,
            since,
            job: Some(job),
            deadline: Instant::now() + Duration::from_secs(config.start_timeout.into()) + GRACE,
        })
    }

    /// Sees the start through. Gives what is to be said about the token, if there was anything to
    /// resolve; from then on the run is followed.
    pub(super) async fn finish(mut self) -> Result<Option<Resolution>, Stumble> {
        let name = self.record.record_name();
        let Some(mut link) = self.connect().await else {
            return Err(self.stumble().await);
        };
        let guard = match self.core.begin_run(&name, Ok(&link)).await {
            Ok(guard) => guard,
            Err(failure) => return Err(Stumble::Failed(failure)),
        };
        match self.drive(&mut link).await {
            Ok(Some(resolution)) => {
                self.core.follow(name, self.since, Some(link), guard);
                Ok(resolution)
            }
            Ok(None) => Err(self.give_up(link, guard, None).await),
            Err(failure) => Err(self.give_up(link, guard, Some(failure)).await),
        }
    }

    /// Reaches the shim; `None` if the job fails before that, or it takes too long.
    async fn connect(&mut self) -> Option<Link> {
        let connect = self
            .core
            .ports()
            .shims
            .connect(self.record.id, CONNECT_WAIT);
        tokio::pin!(connect);
        let link = match &mut self.job {
            None => tokio::select! {
                link = &mut connect => link,
                true = self.core.ports().units.gone(self.record.id, CONNECT_WAIT) => return None,
            },
            Some(job) => tokio::select! {
                link = &mut connect => link,
                end = job.end() => match end {
                    JobEnd::Done => connect.await,
                    JobEnd::Failed(_) => return None,
                },
            },
        };
        if link.is_err() {
            self.deadline = Instant::now();
        }
        link.ok()
    }

    /// Follows the steps until the sandbox runs; `None` if it comes to nothing, a failure if it must
    /// not go on.
    async fn drive(&mut self, link: &mut Link) -> Result<Option<Option<Resolution>>, Failure> {
        let name = self.record.record_name();
        let mut resolution = None;
        let mut state = link.hello.state;
        loop {
            match state {
                RunState::AwaitingCredentials => {
                    resolution = self.hand_over().await?;
                    state = RunState::Starting;
                }
                RunState::Running | RunState::Frozen => {
                    return Ok(self.settled().await.then_some(resolution));
                }
                RunState::Stopping => return Ok(None),
                RunState::Starting => {}
            }
            let Ok(Some(event)) = timeout_at(self.deadline, link.events.recv()).await else {
                return Ok(None);
            };
            match &event {
                Event::Step(step) => self.progress.step(step),
                Event::State(now) => state = *now,
                Event::Credentials(_) | Event::Facts(_) => {}
            }
            self.core.take_event(&name, event);
        }
    }

    /// Hands over the token, or that there is none: the shim waits for it. A revoked sandbox gets none. Fails where nobody can
    /// tell whether the sandbox needs one: it would run without, and nothing would say so.
    async fn hand_over(&self) -> Result<Option<Resolution>, Failure> {
        let name = self.record.record_name();
        let template = self.record.template.clone();
        let uses_token = self
            .core
            .ask(move |state| Ok(state.settings.template(&template)?.uses_token()))
            .await?;
        let how = How {
            or_nothing: true,
            ..How::default()
        };
        let handed = self.core.hand_over(name.owner, &[name.id], how).await?;
        for posted in handed.posted {
            self.core.expect_delivery(&name, posted.credentials);
        }
        match handed.resolution {
            Ok(resolution) => Ok(resolution.filter(|_| uses_token)),
            Err(failure) => {
                note(&name, "token-unread", &failure.message);
                // It was let go on without: what it ought to have follows.
                self.core.missed(name);
                let warning = format!("the token store could not be asked: {}", failure.message);
                Ok(Some(Resolution {
                    warnings: vec![warning],
                    ..Resolution::nothing()
                }))
            }
        }
    }

    /// Waits until systemd agrees that the unit is started. Should it never say how the job ended, it
    /// can still be asked.
    async fn settled(&mut self) -> bool {
        let Some(job) = &mut self.job else {
            return true;
        };
        while Instant::now() < self.deadline {
            if let Ok(end) = timeout(LOOK_AGAIN, job.end()).await {
                return end == JobEnd::Done;
            }
            let state = self
                .core
                .ports()
                .units
                .state(Unit::Sandbox(self.record.id))
                .await;
            if state == Ok(UnitState::Active) {
                return true;
            }
        }
        false
    }

    /// Ends a start that came to nothing, or must not go on, and what is left of its run.
    async fn give_up(&mut self, link: Link, guard: RunGuard, why: Option<Failure>) -> Stumble {
        let name = self.record.record_name();
        drop(link);
        if why.is_some() {
            self.deadline = Instant::now();
        }
        let stumble = self.stumble().await;
        let stumble = match why {
            // Where nobody waits for the answer, only a sandbox that is kept can tell it.
            Some(failure) if self.job.is_none() => Stumble::Failed(failure),
            Some(failure) => Stumble::Refused(failure),
            None => stumble,
        };
        let end = match &stumble {
            Stumble::Refused(_) => RunEnd::Nothing,
            Stumble::Failed(failure) => RunEnd::Failed(failure.clone()),
        };
        self.core.end_run(&name, guard, end);
        stumble
    }

    /// Finds out why a start came to nothing, after seeing to it that nothing of it is left.
    async fn stumble(&mut self) -> Stumble {
        let name = self.record.record_name();
        let late = Instant::now() >= self.deadline;
        let units = &self.core.ports().units;
        if !units
            .gone(name.id, if late { Duration::ZERO } else { CLEANUP_WAIT })
            .await
        {
            if let Err(failure) = units.stop(name.id).await {
                note(&name, "stop-failed", &failure.message);
            }
            units.gone(name.id, CLEANUP_WAIT).await;
        }
        let report = self
            .core
            .ports()
            .shims
            .report(name.id, self.since, REPORT_WAIT)
            .await;
        match report.map(|report| report.outcome) {
            Some(Outcome::Refused(failure)) => Stumble::Refused(failure),
            Some(Outcome::Failed(failure)) => Stumble::Failed(sandbox_failed(failure)),
            _ if late => Stumble::Failed(too_late(self.record)),
            // Whoever started it by other means has stopped it again: that is no failure of it.
            Some(Outcome::Stopped) if self.job.is_none() && self.record.phase == Phase::Created => {
                Stumble::Refused(stopped(self.record))
            }
            Some(Outcome::Stopped) => Stumble::Failed(stopped(self.record)),
            _ => Stumble::Failed(no_report(&name)),
        }
    }
}

fn too_late(record: &SandboxRecord) -> Failure {
    let message = format!("sandbox {} did not become ready in time", record.name);
    Failure::new(ErrorKind::SandboxFailed, message).hint("the administrator can raise startTimeout")
}

fn stopped(record: &SandboxRecord) -> Failure {
    let message = format!("sandbox {} stopped while it was starting", record.name);
    Failure::new(ErrorKind::SandboxFailed, message)
}
