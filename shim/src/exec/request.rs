//! What the command line asks for, judged before anything is done.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use forage_api::shim::exec::{MAX_ARGUMENTS, MAX_BYTES, MAX_VARIABLES, ToShim};
use forage_api::shim::frame::Frame;
use forage_api::{ErrorKind, Failure};
use rustix::fs::{FileType, Gid, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl, fstat};

use crate::sys::files::{PIPEFS, file_system};

/// A command to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The program and its arguments; at least one.
    pub(super) arguments: Vec<CString>,
    /// Variables as `NAME=value`.
    pub(super) variables: Vec<CString>,
    /// Where to run it; `None` for the workspace.
    pub(super) directory: Option<CString>,
}

/// Reads a request to start a command, and its standard input, output and error.
pub(super) fn start(frame: Frame) -> Result<(Wish, [OwnedFd; 3]), Failure> {
    let malformed = || invalid("the request is malformed");
    let ToShim::Start {
        arguments,
        variables,
        directory,
    } = frame.message().map_err(|_| malformed())?
    else {
        return Err(malformed());
    };
    let wish = wish(frame.raw.expose(), arguments, variables, directory)?;
    let pipes = <[OwnedFd; 3]>::try_from(frame.fds)
        .map_err(|_| invalid("exactly three pipes must come with the request"))?;
    Ok((wish, pipes))
}

fn wish(raw: &[u8], arguments: usize, variables: usize, directory: bool) -> Result<Wish, Failure> {
    let malformed = || invalid("the request is malformed");
    if arguments == 0 {
        return Err(invalid("there is no command"));
    }
    if arguments > MAX_ARGUMENTS || variables > MAX_VARIABLES || raw.len() > MAX_BYTES {
        return Err(invalid("the command is too long").hint(format!(
            "at most {MAX_ARGUMENTS} arguments, {MAX_VARIABLES} variables and {} KiB in all",
            MAX_BYTES / 1024
        )));
    }
    let text = match raw.split_last() {
        Some((0, text)) => text,
        _ => return Err(malformed()),
    };
    let mut strings = Vec::new();
    for string in text.split(|&byte| byte == 0) {
        strings.push(CString::new(string).map_err(|_| malformed())?);
    }
    if strings.len() != arguments + variables + usize::from(directory) {
        return Err(malformed());
    }
    let directory = if directory { strings.pop() } else { None };
    let variables = strings.split_off(arguments);
    if strings.first().is_none_or(|program| program.is_empty()) {
        return Err(invalid("the command is an empty word"));
    }
    let named = |v: &CString| matches!(v.as_bytes().iter().position(|&b| b == b'='), Some(1..));
    if !variables.iter().all(named) {
        return Err(invalid("a variable must be given as NAME=value"));
    }
    Ok(Wish {
        arguments: strings,
        variables,
        directory,
    })
}

/// Accepts pipes as standard input, output and error, and nothing else: no file, no terminal, no
/// socket of the host's gets into the sandbox. Pipes the owner made are given to the agent, so that
/// `/dev/stdout` can be opened inside; one somebody else made keeps its owner, since opening it
/// anew would give more than the end that was passed.
pub(super) fn check_pipes(
    pipes: &[OwnedFd; 3],
    owner: u32,
    agent: (u32, u32),
) -> Result<(), Failure> {
    let wanted = [OFlags::RDONLY, OFlags::WRONLY, OFlags::WRONLY];
    let wrong = || invalid("standard input, output and error must be pipes in the right direction");
    for (pipe, wanted) in pipes.iter().zip(wanted) {
        let stat = fstat(pipe).map_err(|_| wrong())?;
        let system = file_system(pipe.as_fd()).map_err(|_| wrong())?;
        let flags = fcntl_getfl(pipe).map_err(|_| wrong())?;
        let is_pipe = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && system == PIPEFS;
        if !is_pipe || flags & OFlags::RWMODE != wanted || flags.contains(OFlags::PATH) {
            return Err(wrong());
        }
        // Neither non-blocking nor in packets: programs do not expect that of a pipe.
        fcntl_setfl(pipe, OFlags::empty()).map_err(|_| wrong())?;
        if stat.st_uid == owner {
            let (uid, gid) = (Uid::from_raw(agent.0), Gid::from_raw(agent.1));
            fchown(pipe.as_fd(), Some(uid), Some(gid)).map_err(|_| wrong())?;
        }
    }
    Ok(())
}

fn invalid(message: &str) -> Failure {
    Failure::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(
        raw: &[u8],
        arguments: usize,
        variables: usize,
        directory: bool,
    ) -> Option<Vec<String>> {
        let wish = wish(raw, arguments, variables, directory).ok()?;
        let all = wish
            .arguments
            .iter()
            .chain(&wish.variables)
            .chain(&wish.directory);
        Some(all.map(|s| s.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn strings_are_counted_exactly() {
        assert_eq!(
            words(b"ls\0-l\0\0A=b=c\0/x\0", 3, 1, true).unwrap(),
            ["ls", "-l", "", "A=b=c", "/x"]
        );
        for (raw, arguments, variables, directory) in [
            (&b""[..], 1, 0, false),
            (b"ls", 1, 0, false),
            (b"ls\0", 0, 0, false),
            (b"\0", 1, 0, false),
            (b"ls\0", 2, 0, false),
            (b"ls\0x\0", 1, 0, false),
            (b"ls\0=x\0", 1, 1, false),
            (b"ls\0A\0", 1, 1, false),
            (b"ls\0", 1, 0, true),
            (b"ls\0", usize::MAX, 0, false),
            (b"ls\0", 1, usize::MAX, false),
        ] {
            assert_eq!(words(raw, arguments, variables, directory), None, "{raw:?}");
        }
        let long = vec![b'a'; MAX_BYTES + 1];
        assert_eq!(words(&long, 1, 0, false), None);
    }

    #[test]
    fn only_pipes_in_the_right_direction() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let pipe = || rustix::pipe::pipe().unwrap();
        let ((r, w), (r2, w2)) = (pipe(), pipe());
        let (stranger, agent) = (u32::MAX - 1, (0, 0));
        let copy = |fd: &OwnedFd| fd.try_clone().unwrap();
        let good = [copy(&r), copy(&w2), copy(&w2)];
        assert_eq!(check_pipes(&good, stranger, agent), Ok(()));
        for bad in [
            [copy(&w), copy(&w2), copy(&w2)],
            [copy(&r), copy(&r2), copy(&w2)],
            [file(), copy(&w2), copy(&w2)],
            [copy(&r), copy(&w2), file()],
        ] {
            assert!(check_pipes(&bad, stranger, agent).is_err());
        }
    }
}
