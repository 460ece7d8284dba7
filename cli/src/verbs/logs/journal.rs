//! The sandbox's own journal, asked as its root: `journalctl` runs there, without the agents'
//! credentials. What it says is the sandbox's word.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use forage_api::exit;
use rustix::pipe::{PipeFlags, pipe_with};

use super::screen::Screen;
use crate::args::Logs;
use crate::exec::{Request, Streams};
use crate::{Error, output};

/// Shows it over a socket to the shim; gives the exit code.
pub(super) fn show(socket: &OwnedFd, arguments: &Logs) -> Result<u8, Error> {
    let request = Request::new(&command(arguments), &[], None, |_| None)?
        .as_user(Some("root"))
        .without_credentials();
    let failed = |error: io::Error| Error::system("the journal could not be shown", &error);
    let mut screens = Vec::new();
    let output = sink(io::stdout(), rustix::stdio::stdout(), &mut screens).map_err(failed)?;
    let error = sink(io::stderr(), rustix::stdio::stderr(), &mut screens).map_err(failed)?;
    let streams = Streams::without_input(output, error).map_err(failed)?;
    let outcome = crate::exec::run(socket, &request, streams);
    for screen in screens {
        // One that panicked has said so.
        screen.join().unwrap_or(Ok(()))?;
    }
    let outcome = match outcome {
        // It was to be followed until it ends.
        Err(error) if arguments.follow && error.exit == exit::SANDBOX_FAILED => {
            return Ok(exit::OK);
        }
        outcome => outcome?,
    };
    outcome.trouble.iter().for_each(output::error);
    // How journalctl takes it that nobody reads any more is nobody's business.
    Ok(if output::nobody_reads() {
        exit::OK
    } else {
        outcome.code
    })
}

fn command(arguments: &Logs) -> Vec<OsString> {
    let mut command = vec!["journalctl", "--no-pager", "--quiet", "--no-hostname"];
    command.extend(["--utc", "--output=short-iso"]);
    let lines = match arguments.lines {
        Some(number) => format!("--lines={number}"),
        None if arguments.follow => "--lines=10".to_owned(),
        None => "--lines=all".to_owned(),
    };
    command.push(&lines);
    if arguments.follow {
        command.push("--follow");
    }
    command.into_iter().map(OsString::from).collect()
}

/// Where a stream of the command's goes: to ours as it is, or, where that is a terminal, through a
/// screen.
fn sink<W: Write + io::IsTerminal + Send + 'static>(
    own: W,
    descriptor: std::os::fd::BorrowedFd<'_>,
    screens: &mut Vec<JoinHandle<Result<(), Error>>>,
) -> io::Result<OwnedFd> {
    if !descriptor.is_terminal() {
        return Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?);
    }
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut screen = Screen::on_terminal(own);
    screens.push(thread::Builder::new().spawn(move || {
        let mut source = File::from(read);
        let mut chunk = vec![0; 64 * 1024];
        while !screen.is_closed() {
            match source.read(&mut chunk) {
                Ok(length) if length > 0 => screen.show(&chunk[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        screen.end()
    })?);
    Ok(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(follow: bool, lines: Option<usize>) -> Vec<OsString> {
        let arguments = Logs {
            name: "s1".parse().unwrap(),
            follow,
            lines,
            start: false,
        };
        command(&arguments).split_off(6)
    }

    #[test]
    fn what_is_asked() {
        assert_eq!(last(false, None), ["--lines=all"]);
        assert_eq!(last(true, None), ["--lines=10", "--follow"]);
        assert_eq!(last(true, Some(0)), ["--lines=0", "--follow"]);
    }
}
