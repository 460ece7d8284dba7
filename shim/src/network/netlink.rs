//! Messages to the kernel's netfilter subsystems.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::sys::time::{Deadline, poll_one};

pub const REQUEST: u16 = 1;
pub const ACKNOWLEDGE: u16 = 4;
pub const DUMP: u16 = 0x300;
/// The kind of an answer that says whether a request was done.
pub const ERROR: u16 = 2;
/// The kind of the last message of a dump.
pub const DONE: u16 = 3;

/// A way to the kernel.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens one.
    ///
    /// # Errors
    /// What the system says.
    pub fn open() -> io::Result<Self> {
        Ok(Self(socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::NETFILTER),
        )?))
    }

    /// Sends messages, which the kernel handles before this returns.
    ///
    /// # Errors
    /// What the system says.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        if send(&self.0, messages, SendFlags::empty())? == messages.len() {
            Ok(())
        } else {
            Err(io::Error::other("the kernel took only a part of a message"))
        }
    }

    /// Waits for messages, and gives how long they are.
    ///
    /// # Errors
    /// There was none until the deadline, or what the system says.
    pub fn receive(&self, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
        if !poll_one(self.0.as_fd(), PollFlags::IN, deadline)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (length, _) = recv(&self.0, buffer, RecvFlags::empty())?;
        Ok(length)
    }
}

/// A message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: u16,
    /// What comes after the header common to all.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Of an answer with the kind [`ERROR`]: whether the request was done.
    ///
    /// # Errors
    /// It was not.
    pub fn done(&self) -> io::Result<()> {
        match self
            .body
            .first_chunk::<4>()
            .copied()
            .map(i32::from_ne_bytes)
        {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Takes received bytes apart.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_at_checked(16)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let length = usize::try_from(length).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            body: bytes.get(16..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Takes attributes apart: their kinds, without flags, and their values.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (header, _) = bytes.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Appends a message with the header of the netfilter subsystems.
pub fn message(
    to: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: u8,
    resource: u16,
    attributes: &[u8],
) {
    let length = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(flags.to_ne_bytes());
    to.extend([0; 8]);
    to.extend([family, 0]);
    to.extend(resource.to_be_bytes());
    to.extend(attributes);
}

/// Appends an attribute.
pub fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart() {
        let mut inner = Vec::new();
        attribute(&mut inner, 1, b"abc");
        attribute(&mut inner, 0x8002, b"");
        let found: Vec<_> = attributes(&inner).collect();
        assert_eq!(found, [(1, &b"abc"[..]), (2, &b""[..])]);
        let mut bytes = Vec::new();
        message(&mut bytes, 7, REQUEST, 2, 0, &inner);
        message(&mut bytes, DONE, 0, 0, 0, &[]);
        let kinds: Vec<u16> = messages(&bytes).map(|m| m.kind).collect();
        assert_eq!(kinds, [7, DONE]);
        for length in 0..bytes.len() {
            for message in messages(&bytes[..length]) {
                attributes(message.body).for_each(drop);
            }
        }
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
    }

    #[test]
    fn an_answer_says_whether_it_was_done() {
        let answer = |code: i32| {
            let bytes = code.to_ne_bytes();
            Message {
                kind: ERROR,
                body: &bytes,
            }
            .done()
        };
        assert!(answer(0).is_ok());
        let refused = answer(-libc::EPERM).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        assert!(answer(i32::MIN).is_err());
        let short = Message {
            kind: ERROR,
            body: &[0; 3],
        };
        assert!(short.done().is_err());
    }
}
