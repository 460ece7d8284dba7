//! The core's end of a conversation with a shim. An adapter holds the other end and the socket.

use std::os::fd::OwnedFd;
use std::time::Duration;

use forage_api::shim::control::{Event, Hello, Verb};
use forage_api::{ErrorKind, Failure, Secret};
use tokio::sync::{mpsc, oneshot};

/// How many requests may wait for a shim that does not read.
pub(crate) const MOST_WAITING: usize = 64;

/// A conversation that has begun.
pub(crate) struct Link {
    /// What the shim said first.
    pub(crate) hello: Hello,
    /// For asking it.
    pub(crate) shim: Shim,
    /// What it tells. The end of this is the end of the conversation.
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

/// A handle for asking a shim.
#[derive(Clone)]
pub(crate) struct Shim(mpsc::Sender<Call>);

/// A request on its way to a shim.
pub(crate) struct Call {
    /// What is asked.
    pub(crate) verb: Verb,
    /// The raw part.
    pub(crate) raw: Secret,
    /// The descriptor that goes with it.
    pub(crate) fd: Option<OwnedFd>,
    /// Where the reply goes.
    pub(crate) reply: oneshot::Sender<Result<(), Failure>>,
}

/// A reply that has not come yet.
pub(crate) struct Reply(oneshot::Receiver<Result<(), Failure>>);

impl Shim {
    /// Makes a handle, and what the adapter takes the requests from.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Call>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), receiver)
    }

    /// Hands a request over. Requests arrive in the order they were handed over.
    pub(crate) fn post(
        &self,
        verb: Verb,
        raw: Secret,
        fd: Option<OwnedFd>,
    ) -> Result<Reply, Failure> {
        let (sender, receiver) = oneshot::channel();
        let call = Call {
            verb,
            raw,
            fd,
            reply: sender,
        };
        self.0.try_send(call).map_err(|_| silent())?;
        Ok(Reply(receiver))
    }
}

impl Reply {
    /// Waits for the reply.
    pub(crate) async fn within(self, wait: Duration) -> Result<(), Failure> {
        match tokio::time::timeout(wait, self.0).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => Err(silent()),
        }
    }
}

/// The failure of a shim that does not answer.
pub(crate) fn silent() -> Failure {
    Failure::new(
        ErrorKind::SandboxFailed,
        "the process that looks after the sandbox does not answer",
    )
    .hint("stop the sandbox and start it again")
}
