//! Making the sandbox's tables the shim's own. Nobody but the owner of a table can change or remove
//! it, `nft flush ruleset` passes it by, and should the shim die, it stays until somebody removes it.
//! `nft` made the tables and has ended, so they wait for an owner.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::sys::time::{Deadline, poll_one};
use std::os::fd::AsFd as _;

const PATIENCE: Duration = Duration::from_secs(5);

const SUBSYSTEM: u8 = 10;
const NEW_TABLE: u16 = (SUBSYSTEM as u16) << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const OWNER_AND_PERSIST: u32 = 2 | 4;

/// The families of the tables, as netlink numbers them: `inet` and `netdev`.
const FAMILIES: [u8; 2] = [1, 5];

/// Owns a sandbox's tables as long as it is kept.
#[derive(Debug)]
pub struct Claim {
    _socket: OwnedFd,
}

impl Claim {
    /// Takes over the tables of this name.
    ///
    /// # Errors
    /// The kernel refuses: it is older than 6.9, or there are no such tables without an owner.
    pub fn take(table: &str) -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::NETFILTER),
        )?;
        let batch = batch(table);
        if send(&socket, &batch, SendFlags::empty())? != batch.len() {
            return Err(io::Error::other("the kernel took only a part of a message"));
        }
        let deadline = Deadline::after(PATIENCE);
        let mut answered = 0;
        while answered < FAMILIES.len() {
            if !poll_one(socket.as_fd(), PollFlags::IN, deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut buffer = [0; 4096];
            let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
            answered += answers(&buffer[..length])?;
        }
        Ok(Self { _socket: socket })
    }
}

/// The messages that take over both tables, or none.
fn batch(table: &str) -> Vec<u8> {
    let mut batch = Vec::new();
    message(
        &mut batch,
        BATCH_BEGIN,
        REQUEST,
        0,
        u16::from(SUBSYSTEM),
        &[],
    );
    for (family, number) in FAMILIES.into_iter().zip(1..) {
        let mut attributes = Vec::new();
        let mut name = table.as_bytes().to_vec();
        name.push(0);
        attribute(&mut attributes, TABLE_NAME, &name);
        attribute(
            &mut attributes,
            TABLE_FLAGS,
            &OWNER_AND_PERSIST.to_be_bytes(),
        );
        let start = batch.len();
        message(
            &mut batch,
            NEW_TABLE,
            REQUEST | ACKNOWLEDGE,
            family,
            0,
            &attributes,
        );
        set_number(&mut batch[start..], number);
    }
    message(&mut batch, BATCH_END, REQUEST, 0, u16::from(SUBSYSTEM), &[]);
    batch
}

/// A netlink message with the header of the netfilter subsystems.
fn message(to: &mut Vec<u8>, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
    let length = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(flags.to_ne_bytes());
    to.extend([0; 8]);
    to.extend([family, 0]);
    to.extend(resource.to_be_bytes());
    to.extend(attributes);
}

/// Numbers a message, so that its answer says which it is to.
fn set_number(message: &mut [u8], number: u32) {
    message[8..12].copy_from_slice(&number.to_ne_bytes());
}

fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    to.extend(length.to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Counts the requests that are answered, none of them with an error.
fn answers(mut bytes: &[u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some((header, rest)) = bytes.split_at_checked(16) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if let (ERROR, Some(code)) = (kind, rest.first_chunk::<4>()) {
            match i32::from_ne_bytes(*code) {
                0 => count += 1,
                error => return Err(io::Error::from_raw_os_error(error.saturating_neg())),
            }
        }
        let next = length.max(16).next_multiple_of(4);
        bytes = bytes.get(next..).unwrap_or_default();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_whole() {
        let batch = batch("forage_00000abc");
        let mut lengths = Vec::new();
        let mut rest = &batch[..];
        while let Some(bytes) = rest.first_chunk::<4>() {
            let length = u32::from_ne_bytes(*bytes) as usize;
            lengths.push(length);
            rest = &rest[length..];
        }
        // Header 20, name 4 + 16, flags 4 + 4.
        assert_eq!(lengths, [20, 48, 48, 20]);
        assert!(rest.is_empty());
    }

    #[test]
    fn answers_of_the_kernel() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = 36_u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(code.to_ne_bytes());
            bytes.resize(36, 0);
            bytes
        };
        let both = [answer(ERROR, 0), answer(ERROR, 0)].concat();
        assert_eq!(answers(&both).unwrap(), 2);
        assert_eq!(answers(&answer(3, 0)).unwrap(), 0);
        let refused = answers(&answer(ERROR, -libc::EPERM)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        for length in 0..36 {
            answers(&both[..length]).ok();
        }
        assert!(answers(&[0; 64]).is_ok());
    }
}
