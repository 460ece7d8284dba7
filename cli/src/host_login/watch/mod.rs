//! Keeping the daemon's copy of the login current: when the file changes, and when the daemon was
//! restarted. Nothing is looked at in between.

mod chain;
mod eyes;
mod say;

use std::future::{Future as _, poll_fn};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use forage_api::{Secret, exit};
use futures_core::Stream as _;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};
use zbus::fdo::NameOwnerChangedStream;

use super::{Login, offer, read};
use crate::bus::Bus;
use crate::signals::Signals;
use crate::{Error, token};
use eyes::Eyes;
use say::Voice;

/// A change is followed by others at once: whoever writes it is done when none came for so long.
const SETTLED: Duration = Duration::from_millis(50);
/// But what is there is handed over this long after the first, however much goes on beside it.
const SETTLED_AT_LAST: Duration = Duration::from_secs(2);
/// How long until the daemon is asked again that did not take it, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Watches until a signal ends it.
///
/// # Errors
/// It cannot watch, the system bus is not there, or the user may not call the daemon.
pub fn watch(path: &Path, quiet: bool) -> Result<(), Error> {
    let failed = |error: io::Error| cannot_watch(path, &error);
    let ends = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    // Before there is a connection, which may have threads.
    let signals = Signals::take(&ends).map_err(failed)?;
    let ended = signals.as_fd().try_clone_to_owned().map_err(failed)?;
    let bus = Bus::connect()?;
    let outcome = bus.block_on(async {
        let daemons = bus.daemons().await;
        let mut watch = Watch {
            bus: &bus,
            path: path.to_owned(),
            eyes: Eyes::open(path).map_err(failed)?,
            daemons: daemons.map_err(|error| crate::bus::failed(&error))?,
            ended: Rc::new(waited_for(ended).map_err(failed)?),
            voice: Voice::new(quiet),
            given: None,
        };
        watch.run().await
    });
    // What ended us has done so.
    while signals.next().is_some() {}
    outcome
}

fn cannot_watch(path: &Path, error: &io::Error) -> Error {
    let name = forage_api::ident::quoted(&path.to_string_lossy());
    let error = Error::system(format!("{name} cannot be watched"), error);
    error.hint("the sysctls fs.inotify.max_user_instances and max_user_watches are the limits")
}

/// A descriptor that can be waited for.
fn waited_for(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "an OwnedFd stays open and the same for as long as it lives, which is all the \
                  unsafe replacement asks for"
    )]
    AsyncFd::new(fd)
}

struct Watch<'a> {
    bus: &'a Bus,
    path: PathBuf,
    eyes: Eyes,
    daemons: NameOwnerChangedStream,
    /// Readable once a signal has come that ends us; nobody reads it.
    ended: Rc<AsyncFd<OwnedFd>>,
    voice: Voice,
    /// What the daemon that runs has been given: the token, which is empty for none, and its expiry.
    given: Option<(Secret, i64)>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Something on the way to the file.
    Change,
    /// A daemon has come, or the one that was there has gone.
    Daemon,
    /// It is to end.
    End,
    /// The time has come.
    Time,
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let mut first = true;
        let mut pause = AGAIN;
        loop {
            let done = match self.unless_ended(Self::bring).await {
                None => break,
                Some(done) => done?,
            };
            if std::mem::take(&mut first) {
                say::ready();
            }
            let again = match done {
                true => None,
                false => Some(Instant::now() + pause),
            };
            pause = if done {
                AGAIN
            } else {
                AGAIN_AT_MOST.min(pause * 2)
            };
            match self.next(again).await? {
                Event::End => break,
                Event::Daemon => self.given = None,
                Event::Time => {}
                Event::Change => {
                    if self.settle().await? == Event::End {
                        break;
                    }
                }
            }
        }
        say::stopping();
        Ok(())
    }

    /// Waits until a change is complete, as far as it ever is.
    async fn settle(&mut self) -> Result<Event, Error> {
        let latest = Instant::now() + SETTLED_AT_LAST;
        while Instant::now() < latest {
            let settled = latest.min(Instant::now() + SETTLED);
            match self.next(Some(settled)).await? {
                Event::Change => {}
                Event::Daemon => self.given = None,
                event => return Ok(event),
            }
        }
        Ok(Event::Time)
    }

    /// Brings the daemon what the file says, unless it has that. `false`: to be tried again.
    async fn bring(&mut self) -> Result<bool, Error> {
        let followed = self.eyes.follow();
        followed.map_err(|error| cannot_watch(&self.path, &error))?;
        let (secret, expires_at_ms) = match read(&self.path, Timestamp::now()) {
            Login::None => (Secret::default(), 0),
            Login::Unusable(why) => {
                self.voice.warn(&format!("the login is skipped: {why}"));
                return Ok(true);
            }
            Login::Found {
                token,
                expires_at_ms,
            } => (token, expires_at_ms),
        };
        let same = |(given, expires): &(Secret, i64)| {
            given.expose() == secret.expose() && *expires == expires_at_ms
        };
        if self.given.as_ref().is_some_and(same) {
            return Ok(true);
        }
        let memory = token::sealed(&secret)?;
        match offer::if_running(self.bus, memory.as_fd(), expires_at_ms).await {
            Ok(()) => {
                let told = self.brought(&secret, expires_at_ms);
                self.voice.tell(&told);
                self.given = Some((secret, expires_at_ms));
                Ok(true)
            }
            Err(error) => self.refused(error),
        }
    }

    fn brought(&self, secret: &Secret, expires_at_ms: i64) -> String {
        let path = self.path.display();
        if secret.is_empty() {
            return format!("there is no login in {path}; it is watched");
        }
        let expires = Timestamp::from_millisecond(expires_at_ms);
        let expires = expires.map_or_else(|_| String::new(), |time| format!("{time:.0}"));
        format!("handed over the login in {path}, which expires at {expires}")
    }

    /// What is to be done when the daemon has not taken it.
    fn refused(&mut self, error: Error) -> Result<bool, Error> {
        match error.exit {
            // Who may not call it now may not do so later, either.
            exit::DENIED | exit::USAGE => Err(error),
            exit::UNREACHABLE => {
                self.voice
                    .remark("the daemon does not run; the login is handed over once it does");
                Ok(true)
            }
            _ if error.kind == Some(forage_api::ErrorKind::InvalidToken) => {
                let why = error.message;
                self.voice
                    .warn(&format!("the daemon does not take the login: {why}"));
                Ok(true)
            }
            _ => {
                let why = error.message;
                self.voice
                    .warn(&format!("the login could not be handed over yet: {why}"));
                Ok(false)
            }
        }
    }

    /// Does something, unless a signal comes first.
    async fn unless_ended<R>(&mut self, act: impl AsyncFnOnce(&mut Self) -> R) -> Option<R> {
        let ended = Rc::clone(&self.ended);
        let mut act = pin!(act(self));
        poll_fn(|context| {
            if ended.poll_read_ready(context).is_ready() {
                return Poll::Ready(None);
            }
            act.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// The next event, by a time.
    async fn next(&mut self, until: Option<Instant>) -> Result<Event, Error> {
        let far = Duration::from_secs(365 * 24 * 3600);
        let until = until.unwrap_or_else(|| Instant::now() + far);
        let mut time = pin!(sleep_until(until));
        poll_fn(|context| {
            if let Some(event) = self.poll_event(context)? {
                return Poll::Ready(Ok(event));
            }
            time.as_mut().poll(context).map(|()| Ok(Event::Time))
        })
        .await
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Result<Option<Event>, Error> {
        if self.ended.poll_read_ready(context).is_ready() {
            return Ok(Some(Event::End));
        }
        match Pin::new(&mut self.daemons).poll_next(context) {
            Poll::Ready(Some(_)) => return Ok(Some(Event::Daemon)),
            Poll::Ready(None) => {
                return Err(Error::new(
                    exit::UNREACHABLE,
                    "the connection to the system bus broke",
                ));
            }
            Poll::Pending => {}
        }
        match self.eyes.poll_change(context) {
            Poll::Ready(Ok(())) => Ok(Some(Event::Change)),
            Poll::Ready(Err(error)) => Err(cannot_watch(&self.path, &error)),
            Poll::Pending => Ok(None),
        }
    }
}
