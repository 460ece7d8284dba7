//! One conversation with one shim: a task that owns the socket, sends requests in order and hands out
//! replies and events.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::shim::control::{Event, FromShim, Hello, Request, VERSION};
use forage_api::shim::frame::{Decoder, Frame, encode, send_some};
use forage_api::{Failure, Secret};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::core::{Call, Link, Shim, silent};

/// Connects to a socket, which must be root's.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path).await?;
    if stream.peer_cred()?.uid() != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(stream)
}

/// Waits for the shim's first word and begins the conversation.
pub(super) async fn open(stream: UnixStream, id: SandboxId) -> Result<Link, Failure> {
    let mut decoder = Decoder::default();
    let hello = loop {
        if let Some(frame) = decoder.next_frame().map_err(|_| silent())? {
            break hello(&frame, id).ok_or_else(silent)?;
        }
        stream.readable().await.map_err(|_| silent())?;
        match stream.try_io(Interest::READABLE, || decoder.receive(stream.as_fd())) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(false) | Err(_) => return Err(silent()),
        }
    };
    let (shim, calls) = Shim::channel();
    let (sender, events) = mpsc::unbounded_channel();
    let conversation = Conversation {
        stream,
        decoder,
        calls,
        events: sender,
        replies: HashMap::new(),
        last: 0,
        outgoing: None,
    };
    tokio::spawn(conversation.run(id));
    Ok(Link {
        hello,
        shim,
        events,
    })
}

fn hello(frame: &Frame, id: SandboxId) -> Option<Hello> {
    match frame.message().ok()? {
        FromShim::Hello(hello) if hello.version == VERSION && hello.id == id => Some(hello),
        _ => None,
    }
}

struct Conversation {
    stream: UnixStream,
    decoder: Decoder,
    calls: mpsc::Receiver<Call>,
    events: mpsc::UnboundedSender<Event>,
    replies: HashMap<u64, oneshot::Sender<Result<(), Failure>>>,
    last: u64,
    outgoing: Option<Outgoing>,
}

/// A frame that has not been sent whole.
struct Outgoing {
    encoded: Secret,
    sent: usize,
    fd: Option<OwnedFd>,
}

impl Conversation {
    async fn run(mut self, id: SandboxId) {
        if let Err(error) = self.talk().await
            && !matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            )
        {
            tracing::warn!(FORAGE_EVENT = "shim", FORAGE_ID = %id, "its shim: {error}");
        }
    }

    /// Goes on until an error; the end of the stream is one.
    async fn talk(&mut self) -> io::Result<()> {
        let mut asked = true;
        loop {
            let interest = match self.outgoing {
                Some(_) => Interest::READABLE | Interest::WRITABLE,
                None => Interest::READABLE,
            };
            tokio::select! {
                call = self.calls.recv(), if asked && self.outgoing.is_none() => match call {
                    Some(call) => self.begin(call)?,
                    None => asked = false,
                },
                () = self.events.closed(), if !asked => return Ok(()),
                ready = self.stream.ready(interest) => {
                    let ready = ready?;
                    if ready.is_writable() {
                        self.send()?;
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        self.receive()?;
                    }
                }
            }
        }
    }

    fn begin(&mut self, call: Call) -> io::Result<()> {
        self.last += 1;
        let request = Request {
            number: self.last,
            verb: call.verb,
        };
        let encoded = encode(&request, call.raw.expose())?;
        self.replies.retain(|_, reply| !reply.is_closed());
        self.replies.insert(self.last, call.reply);
        self.outgoing = Some(Outgoing {
            encoded,
            sent: 0,
            fd: call.fd,
        });
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(outgoing) = &mut self.outgoing else {
            return Ok(());
        };
        let sent = self.stream.try_io(Interest::WRITABLE, || {
            let fds: Vec<BorrowedFd<'_>> = outgoing.fd.iter().map(|fd| fd.as_fd()).collect();
            let rest = &outgoing.encoded.expose()[outgoing.sent..];
            send_some(self.stream.as_fd(), rest, &fds)
        });
        match sent {
            Ok(sent) => {
                outgoing.sent += sent;
                // The descriptor went with the first byte; keeping it would keep its other end open.
                outgoing.fd = None;
                if outgoing.sent == outgoing.encoded.expose().len() {
                    self.outgoing = None;
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let (stream, decoder) = (&self.stream, &mut self.decoder);
        match stream.try_io(Interest::READABLE, || decoder.receive(stream.as_fd())) {
            Ok(true) => {}
            Ok(false) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        while let Some(frame) = self.decoder.next_frame()? {
            match frame.message()? {
                FromShim::Hello(_) => return Err(io::ErrorKind::InvalidData.into()),
                FromShim::Reply { number, failure } => {
                    if let Some(reply) = self.replies.remove(&number) {
                        let _asked = reply.send(failure.map_or(Ok(()), Err));
                    }
                }
                FromShim::Event(event) => {
                    let _heard = self.events.send(event);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
