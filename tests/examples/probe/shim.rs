//! A conversation with a shim, in the daemon's place; the daemon comes back by itself.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use forage_api::places;
use forage_api::shim::control::{FromShim, Request, Verb};
use forage_api::shim::frame::{Decoder, receive, send};

use super::Done;

/// Asks a sandbox's shim for something and waits for its answer.
pub(super) fn ask(id: &str, verb: Verb) -> Done {
    let socket = UnixStream::connect(places::shim_socket(id.parse()?))?;
    let request = Request { number: 7, verb };
    send(socket.as_fd(), &request, &[], &[])?;
    let mut decoder = Decoder::default();
    while let Some(frame) = receive(socket.as_fd(), &mut decoder)? {
        if let FromShim::Reply { number: 7, failure } = frame.message()? {
            return failure.map_or(Ok(()), |failure| Err(failure.into()));
        }
    }
    Err("the shim hung up".into())
}
