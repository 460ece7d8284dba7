//! The data path of `exec`. The daemon hands out one end of a socket to the sandbox's shim; three
//! pipes go over it, then signals one way and the ending the other. The shim never gets a descriptor
//! of ours other than the far ends of these pipes, so never our terminal.

mod capture;
mod pump;
mod request;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use forage_api::exit;
use forage_api::shim::exec::{Ending, FromShim, ToShim};
use forage_api::shim::frame::{self, Decoder};
use nix::sys::signal::Signal;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};

use crate::Error;
use crate::output;
use crate::signals::Signals;
use pump::{Afterwards, End, PATIENCE, Pump};

pub use capture::{Said, capture, within};
pub(crate) use pump::poll_again;
pub use request::Request;

/// The signals that are passed on. `SIGKILL` cannot be; the command is killed when we go away.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Where the command's input comes from and its output goes.
#[derive(Debug)]
pub struct Streams {
    input: OwnedFd,
    output: OwnedFd,
    error: OwnedFd,
}

impl Streams {
    /// Those of this process.
    ///
    /// # Errors
    /// No more descriptors may be opened.
    pub fn own() -> Result<Self, Error> {
        let own = || -> io::Result<Self> {
            Ok(Self {
                input: rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?,
                output: rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?,
                error: rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?,
            })
        };
        own().map_err(|error| not_prepared(&error))
    }

    /// None to read from, and these to write to.
    ///
    /// # Errors
    /// No more descriptors may be opened.
    pub fn without_input(output: OwnedFd, error: OwnedFd) -> io::Result<Self> {
        let input = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            input,
            output,
            error,
        })
    }
}

/// How a command went.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status to end with.
    pub code: u8,
    /// What could not be passed on.
    pub trouble: Vec<Error>,
}

/// Runs a command over a socket to the shim, until it has ended and its output is passed on.
///
/// What it leaves running may hold the output open: after the end, everything written before is
/// passed on, then what still comes, until 50 ms pass without any or one second is over.
///
/// # Errors
/// The command was not started, or the sandbox went away.
pub fn run(socket: &OwnedFd, request: &Request, streams: Streams) -> Result<Outcome, Error> {
    run_passing(&PASSED_ON, socket, request, streams)
}

/// The same; of the signals only these are passed on, and others act on us.
fn run_passing(
    signals: &[Signal],
    socket: &OwnedFd,
    request: &Request,
    streams: Streams,
) -> Result<Outcome, Error> {
    let signals = Signals::take(signals).map_err(|error| not_prepared(&error))?;
    // Whether the daemon works with non-blocking sockets is its own affair.
    rustix::io::ioctl_fionbio(socket, false).map_err(|error| not_prepared(&error.into()))?;
    let pipes = Pipes::send(socket, request)?;
    let mut session = Session {
        socket,
        signals,
        decoder: Decoder::default(),
        waiting: Some((pipes, streams)),
        running: None,
    };
    let ending = session.until_the_end();
    let trouble = session.running.map(Running::finish).unwrap_or_default();
    let mut code = ending?;
    if code == exit::OK && !trouble.is_empty() {
        code = exit::FAILURE;
    }
    Ok(Outcome { code, trouble })
}

fn not_prepared(error: &io::Error) -> Error {
    Error::system("the command could not be prepared", error)
}

/// The other side is not there any more.
pub(crate) fn gone() -> Error {
    Error::new(
        exit::SANDBOX_FAILED,
        "the sandbox went away before the command ended",
    )
    .hint("forage-ctl status says what happened to it")
}

/// Our ends of the pipes.
struct Pipes {
    input: OwnedFd,
    output: OwnedFd,
    error: OwnedFd,
}

impl Pipes {
    /// Makes the pipes and sends their far ends with the request.
    fn send(socket: &OwnedFd, request: &Request) -> Result<Self, Error> {
        let failed = |error| not_prepared(&error);
        let (far_input, input) = pump::pipe().map_err(failed)?;
        let (output, far_output) = pump::pipe_to_read().map_err(failed)?;
        let (error, far_error) = pump::pipe_to_read().map_err(failed)?;
        let far = [far_input.as_fd(), far_output.as_fd(), far_error.as_fd()];
        frame::send(socket.as_fd(), &request.message(None), request.raw(), &far)
            .map_err(|_| gone())?;
        Ok(Self {
            input,
            output,
            error,
        })
    }
}

/// A conversation with the shim.
struct Session<'a> {
    socket: &'a OwnedFd,
    signals: Signals,
    decoder: Decoder,
    /// Until the command runs, none of our input is consumed.
    waiting: Option<(Pipes, Streams)>,
    running: Option<Running>,
}

impl Session<'_> {
    fn until_the_end(&mut self) -> Result<u8, Error> {
        loop {
            let mut fds = [
                PollFd::new(self.socket, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            poll_again(&mut fds, None).map_err(|error| not_prepared(&error))?;
            let (message, signal) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if signal && let Some(code) = self.pass_on() {
                return Ok(code);
            }
            if message && let Some(code) = self.listen()? {
                return Ok(code);
            }
        }
    }

    /// Passes signals on. Before the command runs they end us, and with us the attempt.
    fn pass_on(&mut self) -> Option<u8> {
        while let Some(signal) = self.signals.next() {
            if self.running.is_none() {
                return Some(signalled(signal));
            }
            // If the shim has gone, the socket says so next.
            let _gone = frame::send(self.socket.as_fd(), &ToShim::Signal(signal), &[], &[]);
        }
        None
    }

    /// Takes what the shim says; gives the exit status once there is one.
    fn listen(&mut self) -> Result<Option<u8>, Error> {
        let open = self.decoder.receive(self.socket.as_fd());
        while let Some(frame) = self.decoder.next_frame().map_err(|_| gone())? {
            match frame.message().map_err(|_| gone())? {
                FromShim::Started => {
                    if let Some((pipes, streams)) = self.waiting.take() {
                        self.running = Some(Running::begin(pipes, streams)?);
                    }
                }
                FromShim::Failed(failure) => return Err(failure.into()),
                FromShim::Ended(Ending::Exited(code)) => return Ok(Some(code)),
                FromShim::Ended(Ending::Signalled(signal)) => return Ok(Some(signalled(signal))),
            }
        }
        if matches!(open, Ok(true)) {
            Ok(None)
        } else {
            Err(gone())
        }
    }
}

/// The exit status of what a signal ended.
pub(crate) fn signalled(signal: i32) -> u8 {
    u8::try_from(signal)
        .unwrap_or(u8::MAX)
        .saturating_add(exit::SIGNAL_BASE)
}

/// The pumps of a running command, each a thread of its own: one that waits for a slow reader holds
/// up neither the others nor signals.
struct Running {
    ended: Arc<OwnedFd>,
    output: JoinHandle<End>,
    error: JoinHandle<End>,
}

impl Running {
    fn begin(pipes: Pipes, streams: Streams) -> Result<Self, Error> {
        let ended =
            eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| not_prepared(&error.into()))?;
        let ended = Arc::new(ended);
        let start = |source, sink, afterwards| {
            let ended = Arc::clone(&ended);
            let pump = Pump {
                source,
                sink,
                ended,
                afterwards,
                patience: PATIENCE,
            };
            let thread = thread::Builder::new();
            let started = match afterwards {
                Afterwards::Drain => thread.spawn(move || pump.run()),
                Afterwards::Stop => thread.spawn(move || warn_of_input(pump.run())),
            };
            started.map_err(|error| not_prepared(&error))
        };
        let output = start(pipes.output, streams.output, Afterwards::Drain)?;
        let error = start(pipes.error, streams.error, Afterwards::Drain)?;
        // Nobody waits for this one: it may sit in a read of ours that never ends.
        drop(start(streams.input, pipes.input, Afterwards::Stop)?);
        Ok(Self {
            ended,
            output,
            error,
        })
    }

    /// Passes on the rest of the output.
    fn finish(self) -> Vec<Error> {
        // Without this the pumps end with the pipes.
        let _written = rustix::io::write(&self.ended, &1_u64.to_ne_bytes());
        let ends = [
            ("standard output", self.output.join()),
            ("standard error", self.error.join()),
        ];
        let failed = ends.into_iter().filter_map(|(name, end)| match end {
            Ok(End::WriteFailed(error)) => Some(Error::system(
                format!("{name} could not be written"),
                &error,
            )),
            Ok(End::ReadFailed(error)) => Some(Error::system(
                format!("{name} could not be passed on"),
                &error,
            )),
            Ok(End::Done | End::Closed) => None,
            Err(_) => Some(Error::failure(format!("{name} could not be passed on"))),
        });
        failed.collect()
    }
}

/// Input that cannot be read is the end of input to the command.
fn warn_of_input(end: End) -> End {
    if let End::ReadFailed(error) = &end
        && !matches!(error.raw_os_error(), Some(EBADF | EIO))
    {
        let reason = crate::error::reason(error);
        output::warning(&format!("standard input could not be read: {reason}"));
    }
    end
}

/// Standard input is open for writing only.
const EBADF: i32 = rustix::io::Errno::BADF.raw_os_error();
/// Standard input is a terminal that has gone, or belongs to another job.
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
