//! What the two processes say to each other, and what people are told.

use std::time::Duration;

use forage_api::ident::quoted;
use forage_api::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};

use super::tree::{MOST_DEPTH, MOST_ENTRIES, Stop};
use crate::walk::Lost;

/// What the owner's process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// The directory can be copied.
    Ready,
    /// There is no such directory.
    Missing,
    /// The path cannot be followed.
    Lost(Lost),
    /// What is there cannot be used: why, and what to do.
    Unusable(String, String),
    /// It cannot be copied, or a change of it cannot be followed.
    Stopped(Stop),
    /// It was copied.
    Copied(Copied),
}

/// What is told of a copy.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Copied {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// How much was passed by.
    pub(super) skipped: u64,
    /// Whether all changes will be seen.
    pub(super) followed: bool,
}

/// A directory as people know it: whose, and how much it may hold.
#[derive(Debug)]
pub(super) struct Named {
    /// The path, to be shown.
    pub(super) path: String,
    /// The agent.
    pub(super) agent: String,
    /// The limit in bytes.
    pub(super) most: u64,
    /// The key of the configuration that says so.
    pub(super) key: &'static str,
}

impl Named {
    fn unusable(&self, why: &str, hint: &str) -> Failure {
        let Self { path, agent, .. } = self;
        let what =
            format!("cannot use {path}, the configuration directory of agent {agent}: {why}");
        Failure::new(ErrorKind::ConfigDirUnusable, what).hint(hint)
    }

    /// Why a start is refused.
    pub(super) fn refusal(&self, said: &Said) -> Failure {
        match said {
            Said::Lost(lost) => self.lost(lost),
            Said::Unusable(why, hint) => self.unusable(why, hint),
            Said::Stopped(stop) => self.stopped(stop),
            Said::Ready | Said::Missing | Said::Copied(_) => {
                self.unusable("it was not looked at in the right order", "")
            }
        }
    }

    fn lost(&self, lost: &Lost) -> Failure {
        let system = |number| crate::fail::reason(&std::io::Error::from_raw_os_error(number));
        let (why, hint) = match lost {
            Lost::Missing => ("it does not exist".to_owned(), "create it"),
            Lost::NotADirectory => (
                "a part of its path is not a directory".to_owned(),
                "make it a directory, or correct hostConfigDir",
            ),
            Lost::TooManyLinks => (
                "its path goes through too many links".to_owned(),
                "name the directory itself in hostConfigDir",
            ),
            Lost::Fuse => (
                "it lies on a file system that a program provides (FUSE)".to_owned(),
                "use a directory on a disk of the host",
            ),
            Lost::System(libc::EACCES) => (
                "the sandbox's owner may not enter it".to_owned(),
                "use a directory the owner can enter",
            ),
            Lost::System(number) => (system(*number), "use a directory of the owner's"),
            Lost::Refused(why) => (why.clone(), "use a directory of the owner's"),
        };
        self.unusable(&why, hint)
    }

    /// Why it cannot be copied.
    pub(super) fn stopped(&self, stop: &Stop) -> Failure {
        let least = "remove from it what is not needed";
        match stop {
            Stop::Large(most_of_it) => {
                let most = size(self.most);
                let most_of_it = quoted(most_of_it);
                self.unusable(
                    &format!("it holds more than {most}"),
                    &format!(
                        "{least} (most of it is in {most_of_it}), or raise {}",
                        self.key
                    ),
                )
            }
            Stop::Many => self.unusable(
                &format!("it has more than {MOST_ENTRIES} files and directories"),
                least,
            ),
            Stop::Deep => self.unusable(
                &format!("its directories lie more than {MOST_DEPTH} deep in each other"),
                least,
            ),
            Stop::Full => self.unusable(
                "the sandbox's root has no room for a copy",
                &format!("{least}, or raise rootSize"),
            ),
            Stop::Broken(why) => self.unusable(&format!("its copy cannot be written: {why}"), ""),
        }
    }

    /// That it takes too long.
    pub(super) fn too_slow(&self, patience: Duration) -> Failure {
        let seconds = patience.as_secs_f32().ceil();
        self.unusable(
            &format!("it could not be read within {seconds} seconds"),
            "its file system may not answer; use another, or a smaller directory",
        )
    }

    /// That something is wrong with the host.
    pub(super) fn broken(&self, error: &std::io::Error) -> Failure {
        self.unusable(&crate::fail::reason(error), "try again")
    }

    /// One line about a copy.
    pub(super) fn copied(&self, copied: &Copied, read_only: bool) -> String {
        let Copied {
            entries,
            bytes,
            skipped,
            followed,
        } = copied;
        let Self { path, agent, .. } = self;
        let mut line = format!(
            "agent {agent}: copied {path}, {entries} entries, {}",
            size(*bytes)
        );
        if *skipped > 0 {
            line += &format!(
                "; {skipped} passed by: no regular files, not readable, or on another mount"
            );
        }
        if read_only && !followed {
            line += "; changes on the host will not all be seen, because inotify has no room for more \
                     watches (sysctl fs.inotify)";
        }
        line
    }

    /// One line about a copy whose process is gone.
    pub(super) fn unfollowed(&self) -> String {
        let Self { path, agent, .. } = self;
        format!("agent {agent}: changes of {path} are no longer seen until the next start")
    }

    /// One line about a directory that is not there.
    pub(super) fn missing(&self) -> String {
        let Self { path, agent, .. } = self;
        format!("agent {agent}: there is no {path}; its configuration directory is empty")
    }
}

/// An amount for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} bytes"),
        0x400..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ if bytes & 0x3fff_ffff == 0 => format!("{} GiB", bytes >> 30),
        _ => format!("{} MiB", bytes >> 20),
    }
}
