//! Whether an open directory can be a workspace. The judgement is a pure function of what the
//! kernel says about the directory that was opened.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use forage_api::{ErrorKind, Failure};
use rustix::fs::{FileType, fstat};

use crate::accounts::Account;
use crate::sys::files;

/// What the kernel says about an open directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether it is a directory.
    pub(super) is_directory: bool,
    /// Its owner.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
    /// How many names it has; none when it was deleted.
    pub(super) links: u64,
    /// The type of its file system.
    pub(super) magic: u32,
    /// Where it lies.
    pub(super) path: PathBuf,
}

impl Facts {
    /// Asks the kernel.
    pub(super) fn of(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let stat = fstat(directory)?;
        Ok(Self {
            is_directory: FileType::from_raw_mode(stat.st_mode).is_dir(),
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink,
            magic: files::file_system(directory)?,
            path: std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?,
        })
    }
}

/// File systems that are windows into the kernel, not places for files.
const KERNEL: &[(u32, &str)] = &[
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x1cd1, "devpts"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xcafe_4a11, "bpf"),
    (0x6165_676c, "pstore"),
    (0xde5e_81e4, "efivarfs"),
    (0x6265_6570, "configfs"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4249_4e4d, "binfmt_misc"),
    (0x1980_0202, "mqueue"),
    (0x6e73_6673, "nsfs"),
    (0x5a3c_69f0, "apparmorfs"),
    (0x0187, "autofs"),
    (0x6573_5546, "fusectl"),
    (0x0bd0_0bd0, "resctrl"),
];

/// Common file systems, for messages.
const ORDINARY: &[(u32, &str)] = &[
    (0xef53, "ext4"),
    (0x9123_683e, "btrfs"),
    (0x5846_5342, "xfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
    (0x6573_5543, "fuse"),
    (0x6969, "nfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x0102_1997, "9p"),
    (0xff53_4d42, "cifs"),
];

/// The name of a type of file system.
pub(super) fn file_system(magic: u32) -> String {
    let known = ORDINARY.iter().chain(KERNEL).find(|(m, _)| *m == magic);
    known.map_or_else(
        || format!("type {magic:#x}"),
        |(_, name)| (*name).to_owned(),
    )
}

/// Directories of the system's and of ours, below which nothing is a user's repository.
const TAKEN: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/var/lib/firefly-forage",
    "/run/firefly-forage",
    "/etc/firefly-forage",
];

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
    if !facts.is_directory {
        return refused(
            "it is not a directory",
            "name the directory that holds the repository",
        );
    }
    if facts.path == Path::new("/") {
        return refused(
            "it is the root of the host",
            "name a repository's directory",
        );
    }
    let kernel = KERNEL.iter().find(|(magic, _)| *magic == facts.magic);
    if let Some((_, name)) = kernel {
        return refused(
            &format!("it lies on {name}, a window into the kernel"),
            "name a directory on a disk",
        );
    }
    if own.is_none_or(|own| own != facts.path) {
        for taken in TAKEN.iter().map(Path::new) {
            if facts.path.starts_with(taken) || taken.starts_with(&facts.path) {
                return refused(
                    &format!("it overlaps {}", taken.display()),
                    "name a directory of your own",
                );
            }
        }
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
            magic: 0xef53,
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
                    magic: 0x9fa0,
                    ..good()
                },
                "lies on proc",
            ),
            (
                Facts {
                    magic: 0x6367_7270,
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
