//! What the command line asks for, judged before anything is done.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use forage_api::ident::quoted;
use forage_api::shim::exec::{MAX_ARGUMENTS, MAX_BYTES, MAX_VARIABLES, Terminal, ToShim};
use forage_api::shim::frame::Frame;
use forage_api::{ErrorKind, Failure};
use rustix::fs::{FileType, Gid, OFlags, Uid, fchown, fcntl_getfl, fcntl_setfl, fstat};

use crate::sys::files::{PIPEFS, file_system};

/// The users of the sandbox that commands run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// The template's agent user.
    Agent,
    /// The sandbox's root.
    Root,
}

/// A command to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The program and its arguments; empty for the user's login shell.
    pub(super) arguments: Vec<CString>,
    /// Variables as `NAME=value`.
    pub(super) variables: Vec<CString>,
    /// Where to run it; `None` for the workspace, or root's home.
    pub(super) directory: Option<CString>,
    /// Who runs it.
    pub(super) user: User,
    /// Whether it gets the agents' credentials.
    pub(super) credentials: bool,
}

/// What a command reads from and writes to.
#[derive(Debug)]
pub(super) enum Streams {
    /// Standard input, output and error.
    Pipes([OwnedFd; 3]),
    /// A terminal of the sandbox's own, to be made like this one.
    Terminal(Terminal),
}

/// Reads a request to start a command. `agent` is the name of the template's agent user.
pub(super) fn start(frame: Frame, agent: &str) -> Result<(Wish, Streams), Failure> {
    let malformed = || invalid("the request is malformed");
    let ToShim::Start {
        arguments,
        variables,
        directory,
        user,
        terminal,
        without_credentials,
    } = frame.message().map_err(|_| malformed())?
    else {
        return Err(malformed());
    };
    let user = judge_user(&user, agent)?;
    let strings = strings(frame.raw.expose(), arguments, variables, directory)?;
    let wish = Wish {
        user,
        credentials: user == User::Agent && !without_credentials,
        ..strings
    };
    let streams = match terminal {
        Some(terminal) if frame.fds.is_empty() => Streams::Terminal(terminal),
        Some(_) => return Err(malformed()),
        None => <[OwnedFd; 3]>::try_from(frame.fds)
            .map(Streams::Pipes)
            .map_err(|_| invalid("exactly three pipes must come with the request"))?,
    };
    Ok((wish, streams))
}

/// Only two users are anybody's: others are the sandbox's own affair.
fn judge_user(asked: &str, agent: &str) -> Result<User, Failure> {
    match asked {
        "root" => Ok(User::Root),
        "" | "agent" => Ok(User::Agent),
        name if name == agent => Ok(User::Agent),
        _ => Err(
            invalid(&format!("commands do not run as user {}", quoted(asked)))
                .hint(format!("use {} or root", quoted(agent))),
        ),
    }
}

fn strings(
    raw: &[u8],
    arguments: usize,
    variables: usize,
    directory: bool,
) -> Result<Wish, Failure> {
    let malformed = || invalid("the request is malformed");
    if arguments > MAX_ARGUMENTS || variables > MAX_VARIABLES || raw.len() > MAX_BYTES {
        return Err(invalid("the command is too long").hint(format!(
            "at most {MAX_ARGUMENTS} arguments, {MAX_VARIABLES} variables and {} KiB in all",
            MAX_BYTES / 1024
        )));
    }
    let mut strings = Vec::new();
    match raw.split_last() {
        None => {}
        Some((0, text)) => {
            for string in text.split(|&byte| byte == 0) {
                strings.push(CString::new(string).map_err(|_| malformed())?);
            }
        }
        Some(_) => return Err(malformed()),
    }
    if strings.len() != arguments + variables + usize::from(directory) {
        return Err(malformed());
    }
    let directory = if directory { strings.pop() } else { None };
    let variables = strings.split_off(arguments);
    if strings.first().is_some_and(|program| program.is_empty()) {
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
        user: User::Agent,
        credentials: false,
    })
}

/// Accepts pipes as standard input, output and error, and nothing else: no file, no terminal, no
/// socket of the host's gets into the sandbox. Pipes the owner made are given to the user, so that
/// `/dev/stdout` can be opened inside; one somebody else made keeps its owner, since opening it
/// anew would give more than the end that was passed. `user` is who runs the command, as the host
/// numbers it.
pub(super) fn check_pipes(
    pipes: &[OwnedFd; 3],
    owner: u32,
    user: (u32, u32),
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
            let (uid, gid) = (Uid::from_raw(user.0), Gid::from_raw(user.1));
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
        let wish = strings(raw, arguments, variables, directory).ok()?;
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
        assert!(words(b"", 0, 0, false).unwrap().is_empty());
        assert_eq!(words(b"A=1\0/\0", 0, 1, true).unwrap(), ["A=1", "/"]);
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
    fn two_users_and_no_other() {
        for (asked, user) in [
            ("", User::Agent),
            ("agent", User::Agent),
            ("dev", User::Agent),
            ("root", User::Root),
        ] {
            assert_eq!(judge_user(asked, "dev"), Ok(user));
        }
        for other in ["0", "nobody", "Root", "root\n", "agent "] {
            assert!(judge_user(other, "dev").is_err(), "{other:?}");
        }
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
