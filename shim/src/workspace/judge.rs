//! Whether an open directory can be a workspace. The judgement is a pure function of what the
//! kernel says about the directory that was opened.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use forage_api::{ErrorKind, Failure};
use rustix::fs::{FileType, fstat};

use crate::accounts::Account;
use crate::sys::files::Mounts;

/// What the kernel says about an open directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it is a directory.
    pub(crate) is_directory: bool,
    /// Its owner.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// How many names it has; none when it was deleted.
    pub(crate) links: u64,
    /// The type of its file system.
    pub(crate) kind: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

impl Facts {
    /// Asks the kernel.
    pub(crate) fn of(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let own = format!("/proc/thread-self/fd/{}", directory.as_raw_fd());
        let path = std::fs::read_link(own)?;
        let kind = Mounts::default().kind(directory)?.to_owned();
        let stat = fstat(directory)?;
        Ok(Self {
            is_directory: FileType::from_raw_mode(stat.st_mode).is_dir(),
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink,
            kind,
            path,
        })
    }
}

/// File systems that are windows into the kernel, not places for files.
const KERNEL: &[&str] = &[
    "apparmorfs",
    "autofs",
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// Directories of the system's and of ours, below which nothing is a user's repository.
const TAKEN: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/var/lib/firefly-forage",
    "/run/firefly-forage",
    "/etc/firefly-forage",
];

/// Why what was opened is no directory of a person's, and what to do.
pub(crate) fn misplaced(facts: &Facts) -> Option<(String, &'static str)> {
    if !facts.is_directory {
        return Some(("it is not a directory".to_owned(), "name a directory"));
    }
    if facts.path == Path::new("/") {
        let why = "it is the root of the host".to_owned();
        return Some((why, "name a directory of your own"));
    }
    if KERNEL.contains(&facts.kind.as_str()) {
        let why = format!("it lies on {}, a window into the kernel", facts.kind);
        return Some((why, "name a directory on a disk"));
    }
    let overlaps =
        |taken: &&&str| facts.path.starts_with(taken) || Path::new(taken).starts_with(&facts.path);
    let taken = TAKEN.iter().find(overlaps)?;
    Some((
        format!("it overlaps {taken}"),
        "name a directory of your own",
    ))
}

/// Judges a directory. `own` is the one place of ours that is allowed: the sandbox's own workspace.
pub(super) fn judge(
    facts: &Facts,
    owner: &Account,
    shown: &str,
    own: Option<&Path>,
) -> Result<(), Failure> {
    let refused = |why: &str, hint: &str| {
        Err(Failure::new(
            ErrorKind::InvalidRepository,
            format!("{shown} cannot be a workspace: {why}"),
        )
        .hint(hint))
    };
    if own.is_none_or(|own| own != facts.path)
        && let Some((why, hint)) = misplaced(facts)
    {
        return refused(&why, hint);
    }
    if facts.links == 0 {
        return refused("it was deleted", "create it again");
    }
    if facts.uid != owner.uid {
        return refused(
            &format!(
                "it belongs to another user (uid {}), not to the sandbox's owner (uid {})",
                facts.uid, owner.uid
            ),
            "use a directory that belongs to the owner, such as a clone of the owner's",
        );
    }
    if facts.gid == 0 || !owner.groups.contains(&facts.gid) {
        return refused(
            &format!("its group (gid {}) is not one of the owner's", facts.gid),
            "give it a group of the owner's: chgrp",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Account {
        Account {
            uid: 1000,
            gid: 1000,
            groups: vec![1000, 977, 0],
        }
    }

    fn good() -> Facts {
        Facts {
            is_directory: true,
            uid: 1000,
            gid: 977,
            links: 2,
            kind: "ext4".to_owned(),
            path: "/home/alice/repo".into(),
        }
    }

    #[test]
    fn a_directory_of_the_owners() {
        assert_eq!(judge(&good(), &alice(), "x", None), Ok(()));
    }

    #[test]
    fn what_cannot_be_a_workspace() {
        let at = |path: &str| Facts {
            path: path.into(),
            ..good()
        };
        for (facts, expected) in [
            (
                Facts {
                    is_directory: false,
                    ..good()
                },
                "not a directory",
            ),
            (
                Facts {
                    uid: 1001,
                    ..good()
                },
                "another user (uid 1001)",
            ),
            (Facts { uid: 0, ..good() }, "another user (uid 0)"),
            (Facts { gid: 100, ..good() }, "not one of the owner's"),
            (Facts { gid: 0, ..good() }, "not one of the owner's"),
            (Facts { links: 0, ..good() }, "deleted"),
            (
                Facts {
                    kind: "proc".to_owned(),
                    ..good()
                },
                "lies on proc",
            ),
            (
                Facts {
                    kind: "cgroup2".to_owned(),
                    ..good()
                },
                "lies on cgroup2",
            ),
            (at("/"), "root of the host"),
            (at("/proc/1/root"), "overlaps /proc"),
            (at("/sys"), "overlaps /sys"),
            (at("/dev/shm/x"), "overlaps /dev"),
            (at("/var"), "overlaps /var/lib/firefly-forage"),
            (
                at("/var/lib/firefly-forage/workspaces/00000002"),
                "overlaps",
            ),
            (at("/run/firefly-forage/pin"), "overlaps"),
            (at("/etc/firefly-forage"), "overlaps"),
        ] {
            let failure = judge(&facts, &alice(), "\"/x\"", None).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::InvalidRepository);
            assert!(
                failure.message.starts_with("\"/x\" cannot") && failure.message.contains(expected),
                "{} lacks {expected}",
                failure.message
            );
            assert!(!failure.hint.is_empty());
        }
    }

    #[test]
    fn only_its_own_workspace_of_ours_is_allowed() {
        let own = Path::new("/var/lib/firefly-forage/workspaces/00000001");
        let facts = Facts {
            path: own.into(),
            ..good()
        };
        assert_eq!(judge(&facts, &alice(), "x", Some(own)), Ok(()));
        assert!(judge(&facts, &alice(), "x", Some(Path::new("/other"))).is_err());
        assert!(judge(&facts, &alice(), "x", None).is_err());
    }
}
