//! A connection of the daemon's. The shim never waits for it: what cannot be sent at once is kept up
//! to a limit, and a daemon that does not read that much is hung up on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use forage_api::shim::control::FromShim;
use forage_api::shim::frame::{Decoder, Frame, encode, send_some};
use rustix::event::PollFlags;

/// The most bytes that wait to be sent.
const MAX_WAITING: usize = 256 * 1024;

/// A connection.
pub(super) struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    waiting: Vec<u8>,
}

impl Connection {
    /// Takes over a non-blocking socket.
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            waiting: Vec::new(),
        }
    }

    /// Sends a message, now or as soon as there is room.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub(super) fn send(&mut self, message: &FromShim) -> io::Result<()> {
        let encoded = encode(message, &[])?;
        let bytes = encoded.expose();
        if self.waiting.len() + bytes.len() > MAX_WAITING {
            return Err(io::Error::other("the daemon does not read"));
        }
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends what waits, as far as there is room.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.waiting.len() {
                break Ok(());
            }
            match send_some(self.socket.as_fd(), &self.waiting[sent..], &[]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.waiting.drain(..sent);
        result
    }

    /// What to wait for: room only while something waits to be sent.
    pub(super) fn events(&self) -> PollFlags {
        if self.waiting.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::IN | PollFlags::OUT
        }
    }

    /// Receives what has arrived, once.
    ///
    /// # Errors
    /// The connection has ended or is of no more use.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        match self.decoder.receive(self.socket.as_fd()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// The next whole frame that has arrived.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub(super) fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        self.decoder.next_frame()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::shim::control::Event;
    use forage_api::shim::frame::receive;

    fn event() -> FromShim {
        FromShim::Event(Event::Step("x".repeat(1000)))
    }

    #[test]
    fn a_daemon_that_does_not_read_is_hung_up_on() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut connection = Connection::new(ours);
        let mut sent = 0;
        while connection.send(&event()).is_ok() {
            sent += 1;
            assert!(sent < 10_000);
        }
        assert!(connection.events().contains(PollFlags::OUT));
        // What was sent before arrives whole.
        let reader = std::thread::spawn(move || {
            let mut decoder = Decoder::default();
            let mut received = 0;
            while receive(theirs.as_fd(), &mut decoder).unwrap().is_some() {
                received += 1;
            }
            received
        });
        while connection.events().contains(PollFlags::OUT) {
            connection.flush().unwrap();
            std::thread::yield_now();
        }
        drop(connection);
        assert_eq!(reader.join().unwrap(), sent);
    }
}
