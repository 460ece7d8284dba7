//! Running a command of our own in a sandbox, for what it says.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use forage_api::Secret;

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

/// What a command said, as much of it as was taken.
#[expect(missing_debug_implementations, reason = "it may be a secret")]
pub struct Said {
    /// Its exit status; `None` where it took too long and was ended.
    pub code: Option<u8>,
    /// What it wrote to standard output.
    pub output: Secret,
}

/// Runs a command over a socket to the shim, without input, for so long at most, and takes so much of
/// its output at most.
///
/// # Errors
/// The command was not started, or the sandbox went away.
pub fn within(
    socket: OwnedFd,
    request: &Request,
    most: usize,
    time: Duration,
) -> Result<Said, Error> {
    let prepare = || -> io::Result<_> {
        let null = open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (output, far_output) = pipe_with(PipeFlags::CLOEXEC)?;
        let streams = Streams::without_input(far_output, null)?;
        Ok((output, streams, socket.try_clone()?))
    };
    let (output, streams, line) = prepare().map_err(|error| not_prepared(&error))?;
    let output = thread::spawn(move || Secret::read(std::fs::File::from(output), most));
    let (done, waiting) = mpsc::channel::<()>();
    let clock = thread::spawn(move || {
        let late = waiting.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        if late {
            // The shim kills the command of somebody who has gone.
            let _gone = rustix::net::shutdown(&line, rustix::net::Shutdown::Both);
        }
        late
    });
    let outcome = run_passing(&[], &socket, request, streams);
    drop((done, socket));
    let late = clock.join().unwrap_or_default();
    // What could not be read was not said.
    let output = output.join().ok().and_then(Result::ok).unwrap_or_default();
    let code = match (outcome, late) {
        (Ok(outcome), _) => Some(outcome.code),
        (Err(_), true) => None,
        (Err(error), false) => return Err(error),
    };
    Ok(Said { code, output })
}
