//! Making the sandbox's tables the shim's own. Nobody but the owner of a table can change or remove
//! it, `nft flush ruleset` passes it by, and should the shim die, it stays until somebody removes it.
//! `nft` made the tables and has ended, so they wait for an owner.

use std::io;

use super::netlink::{ACKNOWLEDGE, ERROR, REQUEST, Socket, attribute, message, messages};
use crate::sys::time::Deadline;

const SUBSYSTEM: u8 = 10;
const NEW_TABLE: u16 = (SUBSYSTEM as u16) << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const OWNER_AND_PERSIST: u32 = 2 | 4;

/// The families of the tables, as netlink numbers them: `inet` and `netdev`.
const FAMILIES: [u8; 2] = [1, 5];

/// Owns a sandbox's tables as long as it is kept.
#[derive(Debug)]
pub struct Claim {
    _socket: Socket,
}

impl Claim {
    /// Takes over the tables of this name.
    ///
    /// # Errors
    /// The kernel refuses: it is older than 6.9, or there are no such tables without an owner.
    pub fn take(table: &str, deadline: Deadline) -> io::Result<Self> {
        let socket = Socket::open()?;
        socket.send(&batch(table))?;
        let mut answered = 0;
        let mut buffer = [0; 4096];
        while answered < FAMILIES.len() {
            let length = socket.receive(&mut buffer, deadline)?;
            for message in messages(&buffer[..length]).filter(|m| m.kind == ERROR) {
                message.done()?;
                answered += 1;
            }
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

/// Numbers a message, so that its answer says which it is to.
fn set_number(message: &mut [u8], number: u32) {
    message[8..12].copy_from_slice(&number.to_ne_bytes());
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
}
