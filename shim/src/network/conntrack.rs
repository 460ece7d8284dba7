//! The kernel's table of connections. An address is one sandbox's after the other's; the connections
//! of the first must not become the second's, whose rules let pass what belongs to a connection.

use std::io;
use std::net::IpAddr;

use super::netlink::{
    self, DONE, DUMP, ERROR, REQUEST, Socket, attribute, attributes, message, messages,
};
use crate::sys::time::Deadline;

const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// Of a tuple: its addresses, which have numbers 1 to 4 in it.
const ADDRESSES: u16 = 1;

/// The most entries that are removed in one go.
const MAX_ENTRIES: usize = 65536;
/// How many bytes of requests are sent at once.
const MAX_REQUEST: usize = 32 * 1024;

/// Removes every entry in which one of the addresses is a party, as it is on the wire or as it is
/// translated.
///
/// # Errors
/// The kernel refuses, or there are still some at the deadline.
pub fn forget(addresses: &[IpAddr], deadline: Deadline) -> io::Result<()> {
    loop {
        let removals = removals(addresses, deadline)?;
        if removals.is_empty() {
            return Ok(());
        }
        if deadline.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // An entry may have gone by itself meanwhile. Whether all are gone is seen by looking again, so
        // nobody reads the answers.
        let socket = Socket::open()?;
        let mut request = Vec::new();
        for removal in &removals {
            if request.len() + removal.len() > MAX_REQUEST {
                socket.send(&request)?;
                request.clear();
            }
            request.extend(removal);
        }
        socket.send(&request)?;
    }
}

/// Looks through the table, and gives the requests that remove what is found.
fn removals(addresses: &[IpAddr], deadline: Deadline) -> io::Result<Vec<Vec<u8>>> {
    let socket = Socket::open()?;
    let mut request = Vec::new();
    message(&mut request, GET, REQUEST | DUMP, 0, 0, &[]);
    socket.send(&request)?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = socket.receive(&mut buffer, deadline)?;
        for message in messages(&buffer[..length]) {
            match message.kind {
                DONE => return Ok(found),
                ERROR => message.done()?,
                _ if found.len() < MAX_ENTRIES => found.extend(removal(&message, addresses)),
                _ => {}
            }
        }
        if deadline.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// The request that removes an entry, if one of the addresses is a party.
fn removal(entry: &netlink::Message<'_>, addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let (header, rest) = entry.body.split_at_checked(4)?;
    let is_party = attributes(rest)
        .filter(|(kind, _)| [TUPLE_ORIGINAL, TUPLE_REPLY].contains(kind))
        .flat_map(|(_, tuple)| attributes(tuple).filter(|(kind, _)| *kind == ADDRESSES))
        .flat_map(|(_, parties)| attributes(parties))
        .filter_map(|(_, value)| address(value))
        .any(|party| addresses.contains(&party));
    if !is_party {
        return None;
    }
    let mut names = Vec::new();
    for (kind, value) in attributes(rest) {
        match kind {
            // A tuple is made of attributes, which new kernels want to be told.
            TUPLE_ORIGINAL => attribute(&mut names, kind | 0x8000, value),
            ZONE | ID => attribute(&mut names, kind, value),
            _ => {}
        }
    }
    let mut request = Vec::new();
    message(&mut request, DELETE, REQUEST, header[0], 0, &names);
    Some(request)
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as the kernel describes it: who sends to whom, and who answers whom.
    fn entry(original: [[u8; 4]; 2], reply: [[u8; 4]; 2]) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0];
        for (kind, [source, destination]) in [(TUPLE_ORIGINAL, original), (TUPLE_REPLY, reply)] {
            let (mut parties, mut tuple) = (Vec::new(), Vec::new());
            attribute(&mut parties, 1, &source);
            attribute(&mut parties, 2, &destination);
            attribute(&mut tuple, ADDRESSES | 0x8000, &parties);
            attribute(&mut tuple, 2 | 0x8000, b"\x05\0\x01\0\x11\0\0\0");
            attribute(&mut body, kind | 0x8000, &tuple);
        }
        attribute(&mut body, 3, &[0, 0, 0, 1]);
        attribute(&mut body, ID, &[1, 2, 3, 4]);
        body
    }

    #[test]
    fn entries_of_an_address_are_found_wherever_it_stands() {
        const OWN: [u8; 4] = [10, 181, 192, 2];
        const HOST: [u8; 4] = [203, 0, 113, 2];
        const FAR: [u8; 4] = [198, 51, 100, 10];
        let found = |body: &[u8]| {
            let entry = netlink::Message { kind: 0x100, body };
            removal(&entry, &[OWN.into(), "fd00::2".parse().unwrap()])
        };
        for (original, reply) in [
            ([OWN, FAR], [FAR, HOST]),
            ([HOST, OWN], [OWN, HOST]),
            ([FAR, HOST], [OWN, FAR]),
            ([FAR, HOST], [HOST, OWN]),
        ] {
            let body = entry(original, reply);
            let request = found(&body).unwrap();
            let message = messages(&request).next().unwrap();
            assert_eq!((message.kind, message.body[0]), (DELETE, 2));
            let kinds: Vec<u16> = attributes(&message.body[4..]).map(|(k, _)| k).collect();
            assert_eq!(kinds, [TUPLE_ORIGINAL, ID]);
            for length in 0..body.len() {
                found(&body[..length]);
            }
        }
        assert!(found(&entry([HOST, FAR], [FAR, HOST])).is_none());
        assert!(found(&[]).is_none());
    }
}
