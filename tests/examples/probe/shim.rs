//! A conversation with a shim, in the daemon's place; the daemon comes back by itself.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use forage_api::Failure;
use forage_api::places;
use forage_api::shim::control::{FromShim, Request, Verb};
use forage_api::shim::frame::{Decoder, receive, send};

use super::Done;

/// How often it is asked where the daemon comes back before it has answered.
const TRIES: u32 = 50;

/// Asks a sandbox's shim for something that may be asked for twice, and waits for its answer.
pub(super) fn ask(id: &str, verb: Verb) -> Done {
    let path = places::shim_socket(id.parse()?);
    let request = Request { number: 7, verb };
    let mut hung_up = io::ErrorKind::NotConnected.into();
    for _ in 0..TRIES {
        match ask_once(&path, &request) {
            Ok(failure) => return failure.map_or(Ok(()), |failure| Err(failure.into())),
            Err(error) => hung_up = error,
        }
    }
    Err(format!("the shim hung up {TRIES} times: {hung_up}").into())
}

fn ask_once(path: &Path, request: &Request) -> io::Result<Option<Failure>> {
    let socket = UnixStream::connect(path)?;
    send(socket.as_fd(), request, &[], &[])?;
    let mut decoder = Decoder::default();
    while let Some(frame) = receive(socket.as_fd(), &mut decoder)? {
        if let FromShim::Reply { number: 7, failure } = frame.message()? {
            return Ok(failure);
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
