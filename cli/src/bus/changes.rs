//! Waiting for sandboxes to change: by the daemon's signals, also across a restart of it.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use forage_api::bus::{ManagerProxy, SandboxChangedStream};
use forage_api::exit;
use futures_core::Stream;
use tokio::time::{Instant, sleep, sleep_until};
use zbus::fdo::NameOwnerChangedStream;
use zbus::proxy::SignalStream;

use super::Bus;
use super::errors::explain;
use crate::Error;

/// How long a daemon that was there may stay away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one that has not answered yet may: it may just be restarting.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// How long until one that went away is called again.
const CALL_AGAIN: Duration = Duration::from_millis(200);

/// Why there is a reason to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is the first look, or the daemon was away, or something changed.
    Change,
    /// The pause is over.
    Pause,
}

/// What to listen to.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The one sandbox whose state matters, or everything about all of them.
    pub sandbox: Option<&'a str>,
    /// How long until the next look, if nothing changes.
    pub pause: Duration,
}

impl Bus {
    /// Looks at once, and again whenever there is a reason, until a look gives something. The daemon
    /// was asked to tell of changes before the first look, so none is missed.
    ///
    /// # Errors
    /// What a look fails with; that the daemon is away only if it stays so.
    pub fn watch<R>(
        &self,
        watch: Watch<'_>,
        mut look: impl AsyncFnMut(&ManagerProxy<'_>, Reason) -> Result<Option<R>, Error>,
    ) -> Result<R, Error> {
        self.runtime.block_on(async {
            let mut ears = Ears::open(self, watch).await?;
            let mut reason = Reason::Change;
            let mut patience = FIRST_PATIENCE;
            let mut away_since = None;
            loop {
                let looked = match ears.subscribe().await {
                    Ok(()) => look(&ears.manager, reason).await,
                    Err(error) => Err(error),
                };
                match looked {
                    Ok(Some(answer)) => return Ok(answer),
                    Ok(None) => {
                        (patience, away_since) = (PATIENCE, None);
                        reason = ears.listen(watch).await?;
                    }
                    Err(error) if error.exit == exit::UNREACHABLE => {
                        if away_since.get_or_insert_with(Instant::now).elapsed() > patience {
                            return Err(error);
                        }
                        ears.subscribed = false;
                        sleep(CALL_AGAIN).await;
                        reason = Reason::Change;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

/// The streams of what there is to hear.
struct Ears<'a> {
    manager: ManagerProxy<'a>,
    changes: SandboxChangedStream,
    /// What concerns credentials.
    credentials: Option<SignalStream<'a>>,
    daemons: NameOwnerChangedStream,
    subscribed: bool,
}

impl<'a> Ears<'a> {
    async fn open(bus: &'a Bus, watch: Watch<'_>) -> Result<Self, Error> {
        let open = async {
            let manager = bus.manager_proxy().await?;
            let changes = manager.receive_sandbox_changed().await?;
            let credentials = match watch.sandbox {
                Some(_) => None,
                None => {
                    let tokens = bus.tokens_proxy().await?;
                    Some(tokens.inner().receive_all_signals().await?)
                }
            };
            let daemons = bus.daemons().await?;
            Ok(Self {
                manager,
                changes,
                credentials,
                daemons,
                subscribed: false,
            })
        };
        open.await.map_err(|error| explain(&error))
    }

    /// Asks the daemon to tell, unless it was asked already. It forgets that when it ends.
    async fn subscribe(&mut self) -> Result<(), Error> {
        if !self.subscribed {
            let asked = self.manager.subscribe().await;
            asked.map_err(|error| explain(&error))?;
            self.subscribed = true;
        }
        Ok(())
    }

    /// Waits for a reason to look. Several at once are one.
    async fn listen(&mut self, watch: Watch<'_>) -> Result<Reason, Error> {
        let until = Instant::now() + watch.pause;
        let mut pause = pin!(sleep_until(until));
        poll_fn(|context| {
            let mut reason = None;
            while let Some(name) = next(&mut self.changes, context)? {
                let name = name.args().map(|args| args.name().clone());
                let other = |wanted: &str| name.as_ref().is_ok_and(|name| name != wanted);
                if !watch.sandbox.is_some_and(other) {
                    reason = Some(Reason::Change);
                }
            }
            if let Some(credentials) = &mut self.credentials {
                while next(credentials, context)?.is_some() {
                    reason = Some(Reason::Change);
                }
            }
            while next(&mut self.daemons, context)?.is_some() {
                self.subscribed = false;
                reason = Some(Reason::Change);
            }
            match reason {
                Some(reason) => Poll::Ready(Ok(reason)),
                None => pause.as_mut().poll(context).map(|()| Ok(Reason::Pause)),
            }
        })
        .await
    }
}

/// What has arrived; the end of a stream is the end of the connection.
fn next<S: Stream + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
) -> Result<Option<S::Item>, Error> {
    match Pin::new(stream).poll_next(context) {
        Poll::Pending => Ok(None),
        Poll::Ready(Some(item)) => Ok(Some(item)),
        Poll::Ready(None) => Err(explain(&zbus::Error::InputOutput(
            std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(),
        ))),
    }
}
