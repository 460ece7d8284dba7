//! Frames on a stream socket: a header of two little-endian `u32` (the lengths of the two parts), a
//! JSON part, and a raw part that carries bytes JSON cannot or must not: secrets and arguments.
//! Descriptors travel with the first byte of their frame.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Secret;
use crate::secret::Buffer;

/// The longest JSON part, in bytes.
pub const MAX_JSON: usize = 64 * 1024;
/// The longest raw part, in bytes.
pub const MAX_RAW: usize = 512 * 1024;
/// The most descriptors one frame may carry.
pub const MAX_FDS: usize = 4;

const HEADER: usize = 8;
const CHUNK: usize = 16 * 1024;

/// A frame that has arrived whole.
#[expect(missing_debug_implementations, reason = "the raw part may be a secret")]
pub struct Frame {
    /// The JSON part.
    pub json: Vec<u8>,
    /// The raw part.
    pub raw: Secret,
    /// The descriptors.
    pub fds: Vec<OwnedFd>,
}

impl Frame {
    /// Reads the JSON part.
    pub fn message<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.json)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a message of an unknown form"))
    }
}

/// Encodes a frame, with what it carries that must not be seen.
pub fn encode<T: Serialize>(message: &T, raw: &[u8]) -> io::Result<Secret> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MAX_JSON || raw.len() > MAX_RAW {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the message is too long",
        ));
    }
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
    let lengths = [length(&json), length(raw)].concat();
    Ok(Secret::joined(&[&lengths, &json, raw]))
}

/// Takes bytes and descriptors as they arrive and gives whole frames.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "the buffer may hold a secret")]
pub struct Decoder {
    buffer: Buffer,
    /// Where in the stream the buffer begins.
    position: u64,
    /// Descriptors, each with where in the stream the bytes end that came with it. One receipt may
    /// give the end of a frame and the beginning of the next, but nothing after the piece that
    /// carried descriptors: they belong to the first frame that ends there or later.
    fds: VecDeque<(u64, OwnedFd)>,
}

impl Decoder {
    /// Gives the next whole frame, `None` if more must arrive first.
    ///
    /// # Errors
    /// A length beyond the limits: the stream cannot be used any more.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some((json, raw)) = self.lengths() else {
            return Ok(None);
        };
        if json > MAX_JSON || raw > MAX_RAW {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame beyond the limits",
            ));
        }
        let end = HEADER + json + raw;
        let bytes = self.buffer.bytes();
        if bytes.len() < end {
            return Ok(None);
        }
        let (json, raw) = bytes[HEADER..end].split_at(json);
        let (json, raw) = (json.to_vec(), Secret::joined(&[raw]));
        self.buffer.forget(end);
        self.position += end as u64;
        let theirs = self.fds.partition_point(|(at, _)| *at <= self.position);
        let fds = self.fds.drain(..theirs).map(|(_, fd)| fd).collect();
        Ok(Some(Frame { json, raw, fds }))
    }

    fn lengths(&self) -> Option<(usize, usize)> {
        let number = |at: usize| {
            let bytes = self.buffer.bytes().get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        Some((number(0)?, number(4)?))
    }

    /// Receives once from a socket. `Ok(false)` is the end of the stream.
    ///
    /// # Errors
    /// What `recvmsg` says (`WouldBlock` on a non-blocking socket with nothing to read), and more
    /// descriptors than a frame may carry.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut truncated = false;
        let length = self.buffer.fill(CHUNK, |room| {
            let mut parts = [IoSliceMut::new(room)];
            let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            truncated = message.flags.contains(ReturnFlags::CTRUNC);
            Ok::<_, io::Error>(message.bytes)
        })?;
        let at = self.position + self.buffer.bytes().len() as u64;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = part {
                self.fds.extend(fds.map(|fd| (at, fd)));
            }
        }
        if truncated || self.fds.len() > MAX_FDS {
            self.fds.clear();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "too many descriptors",
            ));
        }
        Ok(length > 0)
    }
}

/// Sends once. Gives how many bytes went out; the descriptors go with the first of them.
///
/// # Errors
/// What `sendmsg` says (`WouldBlock` on a non-blocking socket that is full).
pub fn send_some(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors",
        ));
    }
    Ok(sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?)
}

/// Sends a whole frame on a blocking socket.
///
/// # Errors
/// What `sendmsg` says.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    raw: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let encoded = encode(message, raw)?;
    let bytes = encoded.expose();
    let mut sent = send_some(socket, bytes, fds)?;
    while sent < bytes.len() {
        sent += send_some(socket, &bytes[sent..], &[])?;
    }
    Ok(())
}

/// Receives a whole frame from a blocking socket; `None` is the end of the stream.
///
/// # Errors
/// What `recvmsg` says, a malformed frame, and an end in the middle of one.
pub fn receive(socket: BorrowedFd<'_>, decoder: &mut Decoder) -> io::Result<Option<Frame>> {
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(Some(frame));
        }
        if !decoder.receive(socket)? {
            let whole = decoder.buffer.bytes().is_empty();
            return if whole {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_with_bytes_and_descriptors() {
        let (a, b) = UnixStream::pair().unwrap();
        send(a.as_fd(), &"one", b"\0raw", &[a.as_fd()]).unwrap();
        send(a.as_fd(), &"two", b"", &[]).unwrap();
        drop(a);
        let mut decoder = Decoder::default();
        let one = receive(b.as_fd(), &mut decoder).unwrap().unwrap();
        assert_eq!(one.message::<String>().unwrap(), "one");
        assert_eq!(one.raw.expose(), b"\0raw");
        assert_eq!(one.fds.len(), 1);
        drop(one);
        let two = receive(b.as_fd(), &mut decoder).unwrap().unwrap();
        assert_eq!(two.message::<String>().unwrap(), "two");
        assert!(receive(b.as_fd(), &mut decoder).unwrap().is_none());
    }

    #[test]
    fn descriptors_stay_with_their_frame() {
        let (a, b) = UnixStream::pair().unwrap();
        let expected = [0, 1, 0, 2, 0];
        for (number, fds) in expected.iter().enumerate() {
            send(a.as_fd(), &number, b"raw", &vec![a.as_fd(); *fds]).unwrap();
        }
        drop(a);
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        while let Some(frame) = receive(b.as_fd(), &mut decoder).unwrap() {
            seen.push(frame.fds.len());
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_long_frame_arrives_in_parts() {
        let (a, b) = UnixStream::pair().unwrap();
        let sender = std::thread::spawn(move || {
            send(a.as_fd(), &(), &vec![7; MAX_RAW], &[]).unwrap();
        });
        let frame = receive(b.as_fd(), &mut Decoder::default())
            .unwrap()
            .unwrap();
        assert_eq!(frame.raw.expose().len(), MAX_RAW);
        sender.join().unwrap();
    }

    #[test]
    fn bad_frames_are_errors() {
        for bytes in [&[0xff; 8][..], &[1, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0, b'"']] {
            let (a, b) = UnixStream::pair().unwrap();
            send_some(a.as_fd(), bytes, &[]).unwrap();
            drop(a);
            assert!(receive(b.as_fd(), &mut Decoder::default()).is_err());
        }
        assert!(encode(&(), &vec![0; MAX_RAW + 1]).is_err());
    }
}
