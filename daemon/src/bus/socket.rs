//! The connection to the system bus. Messages are looked at before there is room for them: calls that no
//! client of ours makes are thrown away unread, since a flood of them would cost all the memory the
//! daemon may have. These are calls without an answer, of which the bus lets through any number, and
//! calls longer than a command line can be.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use async_trait::async_trait;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
/// The part of a message that tells how long it is.
const HEADER: usize = 16;
/// The longest call: a path as long as a command line takes, and some room.
const LONGEST_CALL: usize = 256 * 1024;
/// The most descriptors the bus passes on with one message, and some room.
const MOST_FDS: usize = 64;
const METHOD_CALL: u8 = 1;
const NO_REPLY_EXPECTED: u8 = 1;

/// Connects to the system bus.
pub(crate) async fn connect() -> zbus::Result<Connection> {
    let failed = |error| zbus::Error::InputOutput(Arc::new(error));
    let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| ADDRESS.into());
    let path = address
        .split([';', ','])
        .find_map(|part| part.strip_prefix("unix:path="))
        .ok_or_else(|| {
            failed(io::Error::other(format!(
                "cannot use the address {address}"
            )))
        })?;
    let stream = UnixStream::connect(path).await.map_err(failed)?;
    Builder::socket(Sieve(stream)).build().await
}

/// The socket, with a sieve where it is read.
#[derive(Debug)]
struct Sieve(UnixStream);

impl Socket for Sieve {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let stream = Arc::new(self.0);
        let reader = Reader {
            stream: Arc::clone(&stream),
            greeting: true,
            line_begins: true,
            header: Vec::new(),
            fds: Vec::new(),
            passing: 0,
        };
        Split::new(reader, Writer(stream))
    }
}

/// The half that is read.
#[derive(Debug)]
struct Reader {
    stream: Arc<UnixStream>,
    /// Whether the two ends still greet each other, in lines of capital letters.
    greeting: bool,
    line_begins: bool,
    /// The header of a message that is passed on, as far as the library has not taken it.
    header: Vec<u8>,
    /// The descriptors that came with it.
    fds: Vec<OwnedFd>,
    /// How much of that message follows.
    passing: usize,
}

impl Reader {
    /// Reads the next byte of the greeting; `None` if the first message has begun.
    async fn greeted(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        receive(&self.stream, &mut byte, &mut self.fds).await?;
        if self.line_begins && matches!(byte, [b'l' | b'B']) {
            self.greeting = false;
            self.header = byte.to_vec();
            return Ok(None);
        }
        self.line_begins = byte == [b'\n'];
        Ok(Some(byte[0]))
    }

    /// Reads the header of the next message that is wanted, of which some may be there.
    async fn next_message(&mut self) -> io::Result<()> {
        loop {
            let (mut header, mut length) = ([0; HEADER], self.header.len());
            header[..length].copy_from_slice(&self.header);
            self.header.clear();
            let mut fds = std::mem::take(&mut self.fds);
            while length < HEADER {
                length += receive(&self.stream, &mut header[length..], &mut fds).await?;
            }
            let rest = rest_of(header);
            if !is_unwanted(header, rest) {
                (self.header, self.fds, self.passing) = (header.to_vec(), fds, rest);
                return Ok(());
            }
            drop(fds);
            self.throw_away(rest).await?;
        }
    }

    async fn throw_away(&self, mut rest: usize) -> io::Result<()> {
        let mut scratch = vec![0; rest.min(64 * 1024)];
        while rest > 0 {
            let most = rest.min(scratch.len());
            rest -= receive(&self.stream, &mut scratch[..most], &mut Vec::new()).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if self.greeting {
            if let Some(byte) = self.greeted().await? {
                buffer[0] = byte;
                return Ok((1, Vec::new()));
            }
            self.next_message().await?;
        }
        if self.header.is_empty() && self.passing == 0 {
            self.next_message().await?;
        }
        if !self.header.is_empty() {
            let length = self.header.len().min(buffer.len());
            buffer[..length].copy_from_slice(&self.header[..length]);
            self.header.drain(..length);
            return Ok((length, std::mem::take(&mut self.fds)));
        }
        let most = self.passing.min(buffer.len());
        let mut fds = Vec::new();
        let length = receive(&self.stream, &mut buffer[..most], &mut fds).await?;
        self.passing -= length;
        Ok((length, fds))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// How long what follows a header is; 0 where it is none, which the library refuses.
fn rest_of(header: [u8; HEADER]) -> usize {
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let number = match header[0] {
            b'l' => u32::from_le_bytes(bytes),
            b'B' => u32::from_be_bytes(bytes),
            _ => 0,
        };
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let fields = number(12).checked_next_multiple_of(8);
    fields
        .and_then(|fields| fields.checked_add(number(4)))
        .unwrap_or(0)
}

fn is_unwanted(header: [u8; HEADER], rest: usize) -> bool {
    let unanswered = header[2] & NO_REPLY_EXPECTED != 0;
    header[1] == METHOD_CALL && (unanswered || rest > LONGEST_CALL)
}

/// Receives once; the end of the stream is an error.
async fn receive(
    stream: &UnixStream,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = part {
                fds.extend(more);
            }
        }
        Ok(received.bytes)
    };
    match stream.async_io(Interest::READABLE, receive).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}

/// The half that is written.
#[derive(Debug)]
struct Writer(Arc<UnixStream>);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let parts = [IoSlice::new(buffer)];
            Ok(sendmsg(
                &*self.0,
                &parts,
                &mut control,
                SendFlags::NOSIGNAL,
            )?)
        };
        self.0.async_io(Interest::WRITABLE, send).await
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(
            &*self.0,
            rustix::net::Shutdown::Both,
        )?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream as StdStream;

    use zbus::message::{Flags, Message};

    use super::*;

    fn call(flags: Flags, text: &str) -> Vec<u8> {
        let call = Message::method_call("/", "Any").with_flags(flags);
        call.build(&text).unwrap().data().to_vec()
    }

    #[tokio::test]
    async fn only_wanted_messages_come_through() {
        let (ours, mut theirs) = StdStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = UnixStream::from_std(ours).unwrap();
        let (mut reader, _writer) = Sieve(ours).split().take();
        let short = call(Flags::empty(), "short");
        let greeting = b"OK 1234\r\nAGREE_UNIX_FD\r\n".to_vec();
        let sent = [
            greeting.clone(),
            call(Flags::NO_REPLY_EXPECTED, "unanswered"),
            short.clone(),
            call(Flags::empty(), &"x".repeat(LONGEST_CALL)),
            call(Flags::NO_REPLY_EXPECTED, &"y".repeat(100_000)),
            short.clone(),
        ];
        let sender = std::thread::spawn(move || {
            sent.iter()
                .for_each(|bytes| theirs.write_all(bytes).unwrap());
        });
        let mut received = Vec::new();
        let mut buffer = [0; 7];
        while let Ok((length, _)) = reader.recvmsg(&mut buffer).await {
            received.extend_from_slice(&buffer[..length]);
        }
        sender.join().unwrap();
        assert!(received == [greeting, short.clone(), short].concat());
    }
}
