//! The main loop.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use forage_api::shim::control::Event;
use forage_api::{ErrorKind, Failure};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;
use sd_notify::NotifyState;

use super::build::{notify, status};
use super::connection::Connection;
use super::{Phase, Run};
use crate::config_dir::Keeper;
use crate::exec::filters::Filters;
use crate::fail::start;
use crate::network::Network;
use crate::nspawn::leader::Leader;
use crate::nspawn::notify::Said;
use crate::sys::memory::give_back;
use crate::sys::time::{Deadline, poll_one, poll_until};

/// How many messages of nspawn's are heard before other events have their turn.
const MESSAGES_PER_TURN: u32 = 32;

/// How long a container that is ending has to end, before what failed with it is told instead.
const EXPLANATION: Duration = Duration::from_millis(500);

/// What there is to do.
#[derive(Debug)]
struct Ready {
    signal: bool,
    listener: bool,
    secrets: bool,
    configs: bool,
    network: bool,
    daemon: PollFlags,
    container: bool,
}

impl Run<'_> {
    /// Handles events until the run has ended. A failure kills what runs.
    pub(super) fn main_loop(&mut self) -> Result<(), Failure> {
        let ended = loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(ended)) => break ended,
                Err(failure) => break Err(failure),
            }
        };
        if ended.is_err() {
            self.kill_all();
            self.last_words();
        }
        ended
    }

    /// Waits for events and handles them; gives the run's result when it has ended.
    fn turn(&mut self) -> Result<Option<Result<(), Failure>>, Failure> {
        let ready = self
            .wait()
            .map_err(|error| start("wait for events", error))?;
        self.end_sessions();
        if ready.signal {
            self.signals.read_signal().ok();
            self.stop();
        }
        if ready.listener {
            self.accept();
        }
        if ready.secrets {
            self.hear_secrets();
        }
        if ready.configs {
            self.hear_configs();
        }
        if let (true, Some(network)) = (ready.network, &mut self.network) {
            network.hear();
        }
        if !ready.daemon.is_empty() {
            self.serve_daemon(ready.daemon)?;
        }
        if ready.container {
            self.hear_container()?;
        }
        self.on_deadline()?;
        Ok(self.ended())
    }

    fn end_sessions(&mut self) {
        let before = self.sessions.len();
        self.sessions.retain(|s| !s.has_ended(&self.unit));
        if self.sessions.len() < before {
            let sessions = &self.sessions;
            self.unit
                .remove_empty_execs(|number| sessions.iter().any(|s| s.number() == number));
        }
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let watch = fds.len();
        fds.extend(self.watch.iter().map(|w| PollFd::new(w, PollFlags::IN)));
        let configs = fds.len();
        let changes = self.configs.iter().filter_map(Keeper::events);
        fds.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let network = fds.len();
        let changes = self.network.iter().flat_map(Network::fds);
        fds.extend(changes.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let daemon = fds.len();
        fds.extend(self.daemon.iter().map(|d| PollFd::new(d, d.events())));
        let container = fds.len();
        if let Some(container) = &self.container {
            fds.push(PollFd::new(&container.notify, PollFlags::IN));
            fds.push(PollFd::new(&container.child, PollFlags::IN));
            let pipes = [&container.console, &container.messages];
            let open = pipes.into_iter().filter(|pipe| pipe.is_open());
            fds.extend(open.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        }
        let sessions = fds.len();
        fds.extend(self.sessions.iter().map(|s| PollFd::new(s, PollFlags::IN)));
        poll_until(&mut fds, self.deadline())?;
        let happened = |fds: &[PollFd<'_>]| fds.iter().any(|fd| !fd.revents().is_empty());
        Ok(Ready {
            signal: happened(&fds[..1]),
            listener: happened(&fds[1..watch]),
            secrets: happened(&fds[watch..configs]),
            configs: happened(&fds[configs..network]),
            network: happened(&fds[network..daemon]),
            daemon: fds[daemon..container]
                .first()
                .map_or(PollFlags::empty(), PollFd::revents),
            container: happened(&fds[container..sessions]),
        })
    }

    fn deadline(&self) -> Option<Deadline> {
        let phase = match &self.phase {
            Phase::Awaiting(d) | Phase::Booting(d) | Phase::Stopping(d) | Phase::Ended(d, _) => {
                Some(*d)
            }
            Phase::Running | Phase::Killed => None,
        };
        let network = self.network.as_ref().and_then(Network::due);
        let credentials = self.retry.into_iter().chain(self.settles);
        credentials.chain(phase).chain(network).min()
    }

    fn on_deadline(&mut self) -> Result<(), Failure> {
        self.retry_credentials();
        if let Some(network) = &mut self.network
            && network.follow()
        {
            self.facts.network = network.facts();
            self.tell_facts();
        }
        match self.phase {
            Phase::Awaiting(deadline) if deadline.is_over() => Err(Failure::new(
                ErrorKind::SandboxFailed,
                "the daemon did not bring the credentials in time",
            )
            .hint("see the daemon's journal: journalctl -u firefly-forage.service")),
            Phase::Booting(deadline) if deadline.is_over() => {
                let seconds = self.sandbox.start_timeout.as_secs();
                Err(Failure::new(
                    ErrorKind::SandboxFailed,
                    format!("the sandbox did not become ready within {seconds} seconds"),
                )
                .hint(self.log_hint()))
            }
            Phase::Stopping(deadline) if deadline.is_over() => {
                tracing::warn!(
                    FORAGE_EVENT = "killed",
                    "the container did not stop in time; killed it"
                );
                self.log
                    .note("the container did not stop in time; killed it");
                self.kill_all();
                self.enter(Phase::Killed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A new connection replaces the old one and is told where the run stands.
    fn accept(&mut self) {
        while let Some(stream) = self.listener.accept() {
            self.daemon = Some(Connection::new(stream));
            let hello = self.hello();
            self.tell(&hello);
            if matches!(self.phase, Phase::Awaiting(_) | Phase::Booting(_)) {
                self.tell_event(Event::Step(self.step.to_owned()));
            }
        }
    }

    fn serve_daemon(&mut self, events: PollFlags) -> Result<(), Failure> {
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        let mut result = Ok(());
        if events.contains(PollFlags::OUT) {
            result = daemon.flush();
        }
        if result.is_ok() && events != PollFlags::OUT {
            result = daemon.receive();
        }
        if let Err(error) = result {
            self.hang_up(&error);
            return Ok(());
        }
        while let Some(daemon) = &mut self.daemon {
            match daemon.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => self.handle(frame)?,
                Err(error) => self.hang_up(&error),
            }
        }
        Ok(())
    }

    /// Hears what nspawn reports, and whether it has ended.
    fn hear_container(&mut self) -> Result<(), Failure> {
        self.hear_words();
        let Some(container) = &mut self.container else {
            return Ok(());
        };
        let nspawn = container.child.pid();
        let mut said = Said::default();
        // What is inside may have it send without end; the rest is heard at the next turn.
        for _ in 0..MESSAGES_PER_TURN {
            let next = container.notify.next(nspawn);
            let next = next.map_err(|error| start("hear systemd-nspawn", error))?;
            let Some(next) = next else { break };
            said.ready |= next.ready;
            said.leader = said.leader.or(next.leader);
        }
        let status = container
            .child
            .try_wait()
            .map_err(|error| start("look after systemd-nspawn", error))?;
        if let Some(status) = status {
            self.container_ended(&status);
            return Ok(());
        }
        if let (Some(number), None, Phase::Booting(_)) = (said.leader, &self.leader, &self.phase)
            && let Err(failure) = self.meet(number, nspawn)
        {
            return self.explain(failure);
        }
        if said.ready {
            self.became_ready()?;
        }
        Ok(())
    }

    /// Takes hold of the container's first process, and gives it its network.
    fn meet(&mut self, number: i32, nspawn: Pid) -> Result<(), Failure> {
        let leader = Leader::hold(number, nspawn, &self.unit, self.sandbox.base())
            .map_err(|error| start("take hold of the container's first process", error))?;
        if let Some(network) = &mut self.network {
            network.connect(leader.as_fd())?;
            self.facts.network = network.facts();
        }
        self.leader = Some((leader, None));
        self.tell_facts();
        Ok(())
    }

    /// A step with the container failed. Where that is because the container is ending, how it ended
    /// says more.
    fn explain(&mut self, failure: Failure) -> Result<(), Failure> {
        let Some(container) = &self.container else {
            return Err(failure);
        };
        let soon = Deadline::after(EXPLANATION);
        let failed = |error| start("look after systemd-nspawn", error);
        let ended = poll_one(container.child.as_fd(), PollFlags::IN, soon)
            .and_then(|_| container.child.try_wait())
            .map_err(failed)?;
        match ended {
            Some(status) => {
                self.container_ended(&status);
                Ok(())
            }
            None => Err(failure),
        }
    }

    fn became_ready(&mut self) -> Result<(), Failure> {
        let Some((leader, _)) = &self.leader else {
            if !matches!(self.phase, Phase::Booting(_)) {
                // It was killed before anybody could take hold of it.
                return Ok(());
            }
            return Err(start(
                "take hold of the container's first process",
                io::Error::other("systemd-nspawn did not name it"),
            ));
        };
        match self.phase {
            Phase::Booting(_) => {
                self.enter(Phase::Running);
                let status = status(self.sandbox, "running");
                notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
                // Nobody has to wait for this: a command that is asked for meanwhile comes after it.
                self.read_filters()?;
                give_back();
            }
            // Asked to stop before it could listen: ask again.
            Phase::Stopping(_) => {
                leader.power_off().ok();
            }
            _ => {}
        }
        Ok(())
    }

    fn read_filters(&mut self) -> Result<(), Failure> {
        if let Some((leader, filters)) = &mut self.leader {
            let read = Filters::beside(leader);
            *filters = Some(read.map_err(|error| start("make a system call filter", error))?);
        }
        Ok(())
    }
}
