//! Running a command of our own in a sandbox, for what it says when it fails.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Request, Streams, not_prepared, run_passing};
use crate::Error;

/// How much of what a command says is taken. The sandbox decides what runs there.
const MOST: u64 = 4096;

/// Runs a command over a socket to the shim, without input. Gives its exit status and what it wrote
/// to standard error.
///
/// # Errors
/// The command was not started, or the sandbox went away.
pub fn capture(socket: &OwnedFd, request: &Request) -> Result<(u8, String), Error> {
    let prepare = || -> io::Result<(OwnedFd, Streams)> {
        let null = open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((read, Streams::without_input(null, write)?))
    };
    let (read, streams) = prepare().map_err(|error| not_prepared(&error))?;
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        let _what_there_is = std::fs::File::from(read).take(MOST).read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    // Ctrl-C ends us, whatever the sandbox makes of it.
    let outcome = run_passing(&[], socket, request, streams);
    let said = reader.join().unwrap_or_default();
    Ok((outcome?.code, said))
}
