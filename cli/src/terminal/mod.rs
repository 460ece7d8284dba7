//! Sessions on a terminal. The sandbox makes one of its own and hands out its master; here bytes go
//! between that and the user's terminal, which itself never gets anywhere near the sandbox: nothing
//! inside could type into it, resize it or read from it.

mod escape;
mod raw;
mod relay;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use forage_api::shim::exec::{self as wire, Ending, FromShim, ToShim};
use forage_api::shim::frame::{self, Decoder};
use nix::sys::signal::{Signal, raise};
use rustix::event::{PollFd, PollFlags};
use rustix::termios::{isatty, tcgetwinsize, tcsetwinsize};

use crate::Error;
use crate::exec::{Request, gone, poll_again, signalled};
use crate::signals::Signals;
use raw::Raw;
use relay::{End, Relay};

/// The signals that end a session, with the terminal as it was.
const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];
/// Those that have to do with the terminal itself, or are passed on.
const OTHERS: [Signal; 5] = [
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// How long the last output may take to be shown once the sandbox has gone.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Leaves what full-screen programs switch on, for one that had no time to: the other screen, a
/// hidden cursor, keypad and keyboard modes, mouse and focus reports, marked pastes, a scroll
/// region, colours.
const RESET: &[u8] = b"\x1b[?1047l\x1b[?25h\x1b[?1l\x1b>\x1b[<u\x1b[>4m\x1b[?7h\
\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b7\x1b[r\x1b8\x1b[m\r\n";

/// The user's terminal.
#[derive(Debug)]
pub struct Terminal {
    input: Arc<OwnedFd>,
    output: OwnedFd,
}

impl Terminal {
    /// That of this process.
    ///
    /// # Errors
    /// Standard input is not a terminal.
    pub fn own() -> Result<Self, Error> {
        if !isatty(rustix::stdio::stdin()) {
            return Err(Error::usage("standard input is not a terminal").hint(
                "run it in a terminal; forage-ctl exec without -t runs commands without one",
            ));
        }
        let own = || -> io::Result<Self> {
            Ok(Self {
                input: Arc::new(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?),
                output: rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?,
            })
        };
        own().map_err(|error| not_prepared(&error))
    }

    /// What it is like; `kind` is its type.
    fn like(&self, kind: String) -> wire::Terminal {
        let size = tcgetwinsize(&self.input).ok();
        wire::Terminal {
            rows: size.map_or(0, |size| size.ws_row),
            columns: size.map_or(0, |size| size.ws_col),
            kind,
        }
    }

    /// Runs a command on a terminal of the sandbox's, over a socket to the shim, until it has ended.
    /// Gives the exit status.
    ///
    /// # Errors
    /// The command was not started, the sandbox went away, or the user did not want to wait.
    pub fn run(self, socket: &OwnedFd, request: &Request) -> Result<u8, Error> {
        let taken: Vec<Signal> = ENDING.into_iter().chain(OTHERS).collect();
        let signals = Signals::take(&taken).map_err(|error| not_prepared(&error))?;
        // Whether the daemon works with non-blocking sockets is its own affair.
        rustix::io::ioctl_fionbio(socket, false).map_err(|error| not_prepared(&error.into()))?;
        let kind = std::env::var("TERM").unwrap_or_default();
        let message = request.message(Some(self.like(kind.clone())));
        frame::send(socket.as_fd(), &message, request.raw(), &[]).map_err(|_| gone())?;
        let fancy = !["", "dumb"].contains(&kind.as_str()) && isatty(&self.output);
        let tidy = fancy.then(|| self.output.try_clone().ok()).flatten();
        let mut session = Session {
            socket,
            signals: &signals,
            decoder: Decoder::default(),
            terminal: Some(self),
            running: None,
        };
        let left = session.until_the_end();
        let began = session.running.is_some();
        session.finish(&left);
        drop(session);
        if began
            && !matches!(left, Left::Ended(_))
            && let Some(output) = tidy
        {
            // Best effort: it may have gone, or be stuck.
            relay::write_now(&output, RESET);
        }
        match left {
            Left::Ended(code) | Left::Signalled(code) => Ok(code),
            Left::Escaped => Err(Error::new(
                signalled(Signal::SIGHUP as i32),
                "the session was left with Ctrl-]; what ran in it was ended",
            )),
            Left::Failed(error) => Err(error),
        }
    }
}

/// What programs inside should know of the user's terminal beside its type.
pub fn variables() -> Vec<OsString> {
    let colours = std::env::var_os("COLORTERM");
    let colours = colours.filter(|colours| !colours.is_empty());
    let variable = |colours| {
        let mut variable = OsString::from("COLORTERM=");
        variable.push(colours);
        variable
    };
    colours.map(variable).into_iter().collect()
}

fn not_prepared(error: &io::Error) -> Error {
    Error::system("the terminal could not be prepared", error)
}

/// How a session ended.
enum Left {
    /// The command ended, with this exit status.
    Ended(u8),
    /// A signal ended us.
    Signalled(u8),
    /// The user pressed the keys for it.
    Escaped,
    /// Something went wrong.
    Failed(Error),
}

/// A conversation with the shim.
struct Session<'a> {
    socket: &'a OwnedFd,
    signals: &'a Signals,
    decoder: Decoder,
    /// Until the command runs the terminal is left alone.
    terminal: Option<Terminal>,
    running: Option<Running>,
}

/// A command that runs, and the terminal's state for it.
struct Running {
    input: Arc<OwnedFd>,
    master: Arc<OwnedFd>,
    /// `None` once it has said why it ended.
    relay: Option<Relay>,
    /// `None` while this process is stopped.
    raw: Option<Raw>,
}

impl Session<'_> {
    fn until_the_end(&mut self) -> Left {
        loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(left)) => return left,
                Err(error) => return Left::Failed(error),
            }
        }
    }

    fn turn(&mut self) -> Result<Option<Left>, Error> {
        let mut fds = vec![
            PollFd::new(self.socket, PollFlags::IN),
            PollFd::new(self.signals, PollFlags::IN),
        ];
        fds.extend(self.running.iter().flat_map(Running::done));
        poll_again(&mut fds, None).map_err(|error| not_prepared(&error))?;
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if happened[1]
            && let Some(left) = self.hear()?
        {
            return Ok(Some(left));
        }
        if happened[0]
            && let Some(left) = self.listen()?
        {
            return Ok(Some(left));
        }
        // What the shim had to say about its end, and a signal, come first.
        if happened.get(2) == Some(&true) {
            return Ok(self.running.as_mut().and_then(Running::why));
        }
        Ok(None)
    }

    /// Handles signals that have arrived.
    fn hear(&mut self) -> Result<Option<Left>, Error> {
        while let Some(number) = self.signals.next() {
            let Ok(signal) = Signal::try_from(number) else {
                continue;
            };
            if ENDING.contains(&signal) {
                return Ok(Some(Left::Signalled(signalled(number))));
            }
            match (signal, &mut self.running) {
                (Signal::SIGTSTP, running) => {
                    if let Some(running) = running {
                        running.pause();
                    }
                    raise(Signal::SIGSTOP).map_err(|error| not_prepared(&error.into()))?;
                }
                (Signal::SIGCONT, Some(running)) => {
                    running.go_on().map_err(|error| not_prepared(&error))?;
                }
                (Signal::SIGWINCH, Some(running)) => running.resize(),
                (Signal::SIGUSR1 | Signal::SIGUSR2, Some(_)) => {
                    // If the shim has gone, the socket says so next.
                    let _gone = frame::send(self.socket.as_fd(), &ToShim::Signal(number), &[], &[]);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Takes what the shim says.
    fn listen(&mut self) -> Result<Option<Left>, Error> {
        let open = self.decoder.receive(self.socket.as_fd());
        while let Some(mut frame) = self.decoder.next_frame().map_err(|_| gone())? {
            match frame.message().map_err(|_| gone())? {
                FromShim::Started => {
                    let master = frame.fds.pop().ok_or_else(gone)?;
                    if let Some(terminal) = self.terminal.take() {
                        let running = Running::begin(terminal, master);
                        self.running = Some(running.map_err(|error| not_prepared(&error))?);
                    }
                }
                FromShim::Failed(failure) => return Err(failure.into()),
                FromShim::Ended(Ending::Exited(code)) => return Ok(Some(Left::Ended(code))),
                FromShim::Ended(Ending::Signalled(signal)) => {
                    return Ok(Some(Left::Ended(signalled(signal))));
                }
            }
        }
        if matches!(open, Ok(true)) {
            Ok(None)
        } else {
            Err(gone())
        }
    }

    /// Shows the rest of the output, and gives the terminal back.
    fn finish(&mut self, left: &Left) {
        let Some(running) = &mut self.running else {
            return;
        };
        if let Some(relay) = &running.relay {
            relay.end();
        }
        let patience = match left {
            // However long the terminal takes, but for a signal.
            Left::Ended(_) => None,
            Left::Failed(_) => Some(LAST_WORDS),
            Left::Signalled(_) | Left::Escaped => Some(Duration::ZERO),
        };
        loop {
            let mut fds = vec![PollFd::new(self.signals, PollFlags::IN)];
            fds.extend(running.done());
            let nothing = matches!(poll_again(&mut fds, patience), Ok(0) | Err(_));
            if nothing || fds.len() == 1 || !fds[1].revents().is_empty() {
                break;
            }
            let ending = |number| Signal::try_from(number).is_ok_and(|s| ENDING.contains(&s));
            if self.signals.next().is_some_and(ending) {
                break;
            }
        }
        match (running.raw.take(), left) {
            (Some(raw), Left::Ended(_)) => drop(raw),
            (Some(raw), _) => raw.end_at_once(),
            (None, _) => {}
        }
    }
}

impl Running {
    fn begin(terminal: Terminal, master: OwnedFd) -> io::Result<Self> {
        let Terminal { input, output } = terminal;
        let master = Arc::new(master);
        let raw = Raw::enter(&input)?;
        let relay = Relay::begin(Arc::clone(&input), output, Arc::clone(&master))?;
        let running = Self {
            input,
            master,
            relay: Some(relay),
            raw: Some(raw),
        };
        // It may have another size by now.
        running.resize();
        Ok(running)
    }

    /// Readable when nothing is carried any more.
    fn done(&self) -> Option<PollFd<'_>> {
        self.relay.as_ref().map(|relay| relay.done.poll())
    }

    /// Why nothing is carried any more, if that ends the session.
    fn why(&mut self) -> Option<Left> {
        let hung_up = |signal| Left::Signalled(signalled(signal as i32));
        match self.relay.take()?.why()? {
            End::Escaped => Some(Left::Escaped),
            End::HungUp => Some(hung_up(Signal::SIGHUP)),
            End::Unread => Some(hung_up(Signal::SIGPIPE)),
            // The shim says how it ended.
            End::Shown => None,
        }
    }

    /// The kernel tells whoever is in the foreground inside, if it is another size.
    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(&self.input) {
            let _gone = tcsetwinsize(&self.master, size);
        }
    }

    /// Gives the terminal back; nothing is carried until [`Running::go_on`].
    fn pause(&mut self) {
        self.relay.iter().for_each(Relay::hold);
        self.raw = None;
    }

    fn go_on(&mut self) -> io::Result<()> {
        match &self.raw {
            Some(raw) => raw.again()?,
            None => self.raw = Some(Raw::enter(&self.input)?),
        }
        self.resize();
        self.relay.iter().for_each(Relay::release);
        Ok(())
    }
}
