//! Running the host's network tools. What they are told is made from numbers and names of ours; no
//! text of a user's or of the sandbox's reaches them. Nothing a tool does can hang the shim.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use forage_api::{ErrorKind, Failure};
use rustix::event::PollFlags;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::fail::start;
use crate::programs;
use crate::sys::process::{Fork, die_with_parent, exit, fork};
use crate::sys::time::{Deadline, poll_one};
use crate::sys::{fds, signals};

/// How long a tool may take. A busy host's `nft` waits for others that change rules.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most a tool may print, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;

/// A program of the host's.
#[derive(Debug, Clone)]
pub struct Tool {
    path: CString,
    name: &'static str,
    until: Option<Deadline>,
}

/// What a tool that ended well printed, or what one that did not said.
#[derive(Debug)]
pub struct Said {
    /// Its standard output.
    pub output: Vec<u8>,
    /// Why it failed; `None` when it did not.
    pub complaint: Option<String>,
}

impl Tool {
    /// Finds a program a network cannot be made without.
    ///
    /// # Errors
    /// It is not installed.
    pub fn require(name: &'static str, package: &str) -> Result<Self, Failure> {
        let path = programs::find(name, package)?;
        Ok(Self {
            path,
            name,
            until: None,
        })
    }

    /// The same, that has to have ended by a deadline, however often it runs.
    pub fn by(&self, deadline: Deadline) -> Self {
        Self {
            until: Some(deadline),
            ..self.clone()
        }
    }

    /// Runs it in the shim's network namespace, or in that of the process `inside`.
    ///
    /// # Errors
    /// It could not be started, or did not end in time. That it failed is in the answer.
    pub fn run(
        &self,
        arguments: &[&str],
        input: &str,
        inside: Option<BorrowedFd<'_>>,
    ) -> Result<Said, Failure> {
        self.try_run(arguments, input, inside)
            .map_err(|error| start(format_args!("run {}", self.name), error))
    }

    /// Runs it; that it fails is an error, too. `what` it is for is told then.
    ///
    /// # Errors
    /// It did not do what it was asked to.
    pub fn run_ok(
        &self,
        what: &str,
        arguments: &[&str],
        input: &str,
        inside: Option<BorrowedFd<'_>>,
    ) -> Result<Vec<u8>, Failure> {
        let said = self.run(arguments, input, inside)?;
        match said.complaint {
            None => Ok(said.output),
            Some(complaint) => Err(Failure::new(
                ErrorKind::SandboxFailed,
                format!("cannot {what}: {} said: {complaint}", self.name),
            )),
        }
    }

    fn try_run(
        &self,
        arguments: &[&str],
        input: &str,
        inside: Option<BorrowedFd<'_>>,
    ) -> io::Result<Said> {
        let late = |why: String| io::Error::new(io::ErrorKind::TimedOut, why);
        if self.until.is_some_and(Deadline::is_over) {
            return Err(late("there was no time left for it".to_owned()));
        }
        let patience = Deadline::after(PATIENCE);
        let deadline = self.until.map_or(patience, |until| until.min(patience));
        let file = || memfd_create("forage-tool", MemfdFlags::CLOEXEC).map(File::from);
        let (mut stdin, mut stdout, mut stderr) = (file()?, file()?, file()?);
        stdin.write_all(input.as_bytes())?;
        stdin.rewind()?;
        let all = [self.name].into_iter().chain(arguments.iter().copied());
        let arguments = programs::strings(all)?;
        let child = match fork()? {
            Fork::Child => {
                let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
                exit(become_tool(&self.path, &arguments, streams, inside))
            }
            Fork::Parent(child) => child,
        };
        if !poll_one(child.as_fd(), PollFlags::IN, deadline)? {
            child.end();
            return Err(late("it did not end in time".to_owned()));
        }
        let status = child.wait()?;
        let mut output = Vec::new();
        stdout.rewind()?;
        stdout.read_to_end(&mut output)?;
        let complaint = (status.exit_status() != Some(0)).then(|| {
            let mut words = Vec::new();
            let read = stderr
                .rewind()
                .and_then(|()| stderr.read_to_end(&mut words));
            read.map_or_else(
                |error| error.to_string(),
                |_| complaint(&words, status.exit_status()),
            )
        });
        Ok(Said { output, complaint })
    }
}

/// The first line that says something, without what would garble a log.
fn complaint(words: &[u8], status: Option<i32>) -> String {
    let words = String::from_utf8_lossy(words);
    let line = words.lines().map(str::trim).find(|line| !line.is_empty());
    match (line, status) {
        (Some(line), _) => forage_api::ident::quoted(line),
        (None, Some(status)) => format!("nothing, and ended with status {status}"),
        (None, None) => "nothing, and was killed".to_owned(),
    }
}

/// Runs in the child. It returns only when it failed.
fn become_tool(
    program: &CString,
    arguments: &[CString],
    streams: [BorrowedFd<'_>; 3],
    inside: Option<BorrowedFd<'_>>,
) -> i32 {
    let Ok(environment) = programs::strings(programs::ENVIRONMENT) else {
        return 127;
    };
    let most = Rlimit {
        current: Some(MAX_OUTPUT),
        maximum: Some(MAX_OUTPUT),
    };
    let prepared = die_with_parent()
        .and_then(|()| match inside {
            Some(leader) => Ok(move_into_thread_name_spaces(
                leader,
                ThreadNameSpaceType::NETWORK,
            )?),
            None => Ok(()),
        })
        .and_then(|()| fds::set_stdio(streams))
        .and_then(|()| fds::close_all_but(&[]))
        .and_then(|()| signals::restore_defaults())
        .and_then(|()| Ok(setrlimit(Resource::Fsize, most)?));
    if prepared.is_ok() {
        nix::unistd::execve(program, arguments, &environment).ok();
    }
    127
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_ends_by_its_deadline() {
        let sleep = Tool::require("sleep", "coreutils").unwrap();
        let soon = sleep.by(Deadline::after(Duration::from_millis(20)));
        let failure = soon.run(&["60"], "", None).unwrap_err();
        assert!(failure.message.contains("did not end in time"), "{failure}");
        let failure = soon.run(&["0"], "", None).unwrap_err();
        assert!(failure.message.contains("no time left"), "{failure}");
        assert!(sleep.run(&["0"], "", None).unwrap().complaint.is_none());
    }
}
