//! What the daemon asks. What makes no sense costs it the connection, never the sandbox.

use forage_api::shim::control::{FromShim, Request, Verb};
use forage_api::shim::frame::Frame;
use forage_api::{ErrorKind, Failure};

use super::{Phase, Run};
use crate::exec::{self, MAX_SESSIONS, Target};
use crate::secrets::Wanted;

impl Run<'_> {
    /// Handles one request. An error ends the run: the sandbox could not be built.
    pub(super) fn handle(&mut self, mut frame: Frame) -> Result<(), Failure> {
        let request: Request = match frame.message() {
            Ok(request) => request,
            Err(error) => {
                self.hang_up(&error);
                return Ok(());
            }
        };
        let number = request.number;
        match request.verb {
            Verb::Credentials {
                source,
                expires_at,
                revoked,
                refresh,
            } => {
                let wanted = Wanted {
                    source,
                    expires_at,
                    revoked,
                    refresh,
                    token: std::mem::take(&mut frame.raw),
                };
                drop(frame);
                let (done, built) = self.credentials(&wanted);
                self.reply(number, done);
                return built;
            }
            Verb::Freeze => {
                let done = self.freeze();
                self.reply(number, done);
            }
            Verb::Thaw => {
                let done = self.thaw();
                self.reply(number, done);
            }
            Verb::Stop => {
                self.reply(number, Ok(()));
                self.stop();
            }
            Verb::Exec => {
                let done = self.exec(frame);
                self.reply(number, done);
            }
        }
        Ok(())
    }

    fn reply(&mut self, number: u64, done: Result<(), Failure>) {
        let failure = done.err();
        self.tell(&FromShim::Reply { number, failure });
    }

    fn exec(&mut self, mut frame: Frame) -> Result<(), Failure> {
        let (Phase::Running, Some((leader, Some(filters)))) = (&self.phase, &self.leader) else {
            return Err(not_running());
        };
        if self.frozen {
            return Err(self.is_frozen());
        }
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(Failure::new(
                ErrorKind::LimitReached,
                format!("{MAX_SESSIONS} commands run in the sandbox already"),
            )
            .hint("wait until one of them has ended"));
        }
        let (Some(socket), true) = (frame.fds.pop(), frame.fds.is_empty()) else {
            return Err(Failure::new(
                ErrorKind::InvalidArgument,
                "exactly one socket must come with exec",
            ));
        };
        let target = Target::new(self.sandbox, leader, filters, &self.unit);
        let session = exec::start(target, socket, self.next_session)?;
        self.next_session += 1;
        self.sessions.push(session);
        Ok(())
    }
}

pub(super) fn not_running() -> Failure {
    Failure::new(ErrorKind::SandboxNotRunning, "the sandbox is not running")
        .hint("start it: forage-ctl start")
}
