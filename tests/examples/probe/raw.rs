//! A connection to the system bus without a library behind it: nothing is read unless it is asked for.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use forage_api::names::{BUS_NAME, OBJECT_PATH};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use zbus::message::{Flags, Message};

/// The most descriptors the bus takes with one message.
pub(crate) const MOST_FDS: usize = 16;

/// A connection.
pub(crate) struct Raw(UnixStream);

impl Raw {
    /// Connects and says hello.
    pub(crate) fn connect() -> io::Result<Self> {
        let mut stream = UnixStream::connect("/run/dbus/system_bus_socket")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let uid = rustix::process::getuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        answer(&mut stream, "OK")?;
        stream.write_all(b"NEGOTIATE_UNIX_FD\r\n")?;
        answer(&mut stream, "AGREE_UNIX_FD")?;
        stream.write_all(b"BEGIN\r\n")?;
        let hello = Message::method_call("/org/freedesktop/DBus", "Hello")
            .destination("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .build(&())
            .map_err(io::Error::other)?;
        stream.write_all(hello.data())?;
        Ok(Self(stream))
    }

    /// How long a send may wait for room.
    pub(crate) fn give_up_after(&self, wait: Duration) -> io::Result<()> {
        self.0.set_write_timeout(Some(wait))
    }

    /// Sends a message with descriptors.
    pub(crate) fn send(&self, message: &Message, fds: &[OwnedFd]) -> io::Result<()> {
        let bytes: &[u8] = message.data();
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let sent = sendmsg(
            &self.0,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        (&self.0).write_all(&bytes[sent..])
    }
}

/// A call of the daemon.
pub(crate) fn call<B: serde::Serialize + zbus::zvariant::DynamicType>(
    interface: &str,
    member: &str,
    reply: bool,
    body: &B,
) -> zbus::Result<Message> {
    let call = Message::method_call(OBJECT_PATH, member)
        .destination(BUS_NAME)
        .interface(interface);
    if reply {
        call.build(body)
    } else {
        call.with_flags(Flags::NO_REPLY_EXPECTED).build(body)
    }
}

fn answer(stream: &mut UnixStream, expected: &str) -> io::Result<()> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    if line.starts_with(expected) {
        Ok(())
    } else {
        Err(io::Error::other(line))
    }
}
