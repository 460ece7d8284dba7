//! Following the host while a sandbox runs. The tools for it may take their time, so they are run by a
//! child process; the shim has other things to do meanwhile.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use forage_api::Failure;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::sys::fds::close_all_but;
use crate::sys::process::{Child, Fork, die_with_parent, exit, fork};
use crate::sys::time::Deadline;

/// How long a look at the host may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing is looked at after a look. It doubles while the host keeps changing.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);
/// The most a child's answer may be, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// What was done to follow the host.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// What changed, for the log.
    pub notes: Vec<String>,
    /// What the owner is warned of.
    pub warnings: Vec<String>,
}

/// Follows the host, one look at a time.
#[derive(Debug, Default)]
pub struct Follower {
    wanted: bool,
    looking: Option<Look>,
    pace: Pace,
}

/// A child process that looks at the host.
#[derive(Debug)]
struct Look {
    child: Child,
    answer: File,
    deadline: Deadline,
}

impl Follower {
    /// Asks for a look, as soon as there may be one.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Becomes readable when a look has ended.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.looking.as_ref().map(|look| look.child.as_fd())
    }

    /// When there is something to do.
    pub fn due(&self) -> Option<Deadline> {
        match &self.looking {
            Some(look) => Some(look.deadline),
            None if self.wanted => Some(self.pace.next()),
            None => None,
        }
    }

    /// What a look that has ended, or took too long, was good for.
    pub fn ended(&mut self) -> Option<Result<Followed, String>> {
        let result = self.looking.as_mut()?.result()?;
        self.looking = None;
        self.pace.ended();
        Some(result)
    }

    /// Begins a look, if one is wanted and it is time. It has to end by the deadline it is given.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(
        &mut self,
        work: impl FnOnce(Deadline) -> Result<Followed, Failure>,
    ) -> io::Result<()> {
        if !self.wanted || self.looking.is_some() || !self.pace.next().is_over() {
            return Ok(());
        }
        self.wanted = false;
        self.pace.begun();
        self.looking = Some(Look::begin(work)?);
        Ok(())
    }
}

impl Look {
    fn begin(work: impl FnOnce(Deadline) -> Result<Followed, Failure>) -> io::Result<Self> {
        let mut answer = File::from(memfd_create("forage-answer", MemfdFlags::CLOEXEC)?);
        let deadline = Deadline::after(PATIENCE);
        match fork()? {
            Fork::Child => {
                // Nobody may take the shim's connections for open because of this process. The log is
                // one of them: what there is to say is in the answer.
                let prepared = die_with_parent().and_then(|()| close_all_but(&[answer.as_fd()]));
                let done = prepared.and_then(|()| {
                    let result = work(deadline).map_err(|failure| failure.to_string());
                    answer.write_all(&serde_json::to_vec(&result)?)
                });
                exit(i32::from(done.is_err()))
            }
            Fork::Parent(child) => Ok(Self {
                child,
                answer,
                deadline,
            }),
        }
    }

    fn result(&mut self) -> Option<Result<Followed, String>> {
        let broken = |error: io::Error| Err(crate::fail::reason(&error));
        match self.child.try_wait() {
            Ok(None) if self.deadline.is_over() => {
                self.child.end();
                Some(Err("the host's network tools took too long".to_owned()))
            }
            Ok(None) => None,
            Ok(Some(_)) => Some(self.answer().unwrap_or_else(broken)),
            Err(error) => Some(broken(error)),
        }
    }

    fn answer(&mut self) -> io::Result<Result<Followed, String>> {
        let mut bytes = Vec::new();
        self.answer.rewind()?;
        (&self.answer).take(MAX_ANSWER).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// When to look next, so that a host whose rules change all the time is not looked at all the time.
#[derive(Debug, Default)]
struct Pace {
    pause: Duration,
    next: Option<Deadline>,
    calm: Option<Deadline>,
}

impl Pace {
    fn next(&self) -> Deadline {
        self.next.unwrap_or(Deadline::after(Duration::ZERO))
    }

    fn begun(&mut self) {
        let is_calm = self.calm.is_none_or(Deadline::is_over);
        self.pause = if is_calm {
            SHORTEST
        } else {
            (self.pause * 2).min(LONGEST)
        };
    }

    fn ended(&mut self) {
        self.next = Some(Deadline::after(self.pause));
        self.calm = Some(Deadline::after(self.pause * 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::time::poll_one;
    use forage_api::ErrorKind;
    use rustix::event::PollFlags;

    fn followed(
        work: impl FnOnce(Deadline) -> Result<Followed, Failure>,
    ) -> Result<Followed, String> {
        let mut follower = Follower::default();
        follower.want();
        follower.begin(work).unwrap();
        assert!(follower.due().is_some());
        let patience = Deadline::after(PATIENCE);
        assert!(poll_one(follower.fd().unwrap(), PollFlags::IN, patience).unwrap());
        let result = follower.ended().unwrap();
        assert!(follower.fd().is_none() && follower.due().is_none());
        // The next is not begun at once.
        follower.want();
        follower.begin(|_| Ok(Followed::default())).unwrap();
        assert!(follower.fd().is_none() && follower.due().is_some());
        result
    }

    #[test]
    fn a_child_looks_and_says_what_it_did() {
        let all = || Followed {
            notes: vec!["a".to_owned()],
            warnings: vec!["b".to_owned()],
        };
        assert_eq!(followed(|_| Ok(all())), Ok(all()));
        let failed = followed(|_| Err(Failure::new(ErrorKind::SandboxFailed, "no nft")));
        assert!(failed.unwrap_err().contains("no nft"));
        assert!(followed(|_| exit(1)).is_err());
    }

    #[test]
    fn one_that_hangs_is_ended() {
        let mut look = Look::begin(|_| {
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        assert!(look.result().is_none());
        look.deadline = Deadline::after(Duration::ZERO);
        let result = look.result().unwrap();
        assert!(result.unwrap_err().contains("too long"));
    }

    #[test]
    fn the_pause_doubles_while_the_host_changes() {
        let mut pace = Pace::default();
        assert!(pace.next().is_over());
        for seconds in [1, 2, 4, 8, 8] {
            pace.begun();
            assert_eq!(pace.pause, Duration::from_secs(seconds));
            pace.ended();
            assert!(!pace.next().is_over());
        }
        pace.calm = None;
        pace.begun();
        assert_eq!(pace.pause, SHORTEST);
    }
}
