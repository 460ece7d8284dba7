//! Users and groups, as the host's name services know them.

use std::ffi::CString;
use std::path::PathBuf;

use forage_api::{ErrorKind, Failure, names};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// A user with every group it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The uid.
    pub uid: u32,
    /// The primary gid.
    pub gid: u32,
    /// Every gid, the primary one included.
    pub groups: Vec<u32>,
}

/// Looks up the owner of a sandbox: an ordinary user who may use the daemon.
///
/// # Errors
/// There is no such user, it is root, or it is not in the group.
pub fn owner(uid: u32) -> Result<Account, Failure> {
    if uid == 0 {
        return Err(Failure::new(
            ErrorKind::AccessDenied,
            "root cannot own a sandbox: its files would be root's on the host",
        ));
    }
    let unavailable = |error: nix::Error| lookup_failed("users", error);
    let user = User::from_uid(Uid::from_raw(uid))
        .map_err(unavailable)?
        .ok_or_else(|| {
            Failure::new(
                ErrorKind::NoSuchUser,
                format!("the host has no user with the uid {uid}"),
            )
        })?;
    let name = CString::new(user.name).unwrap_or_default();
    let groups: Vec<u32> = getgrouplist(&name, user.gid)
        .map_err(unavailable)?
        .into_iter()
        .map(Gid::as_raw)
        .collect();
    if !groups.contains(&group(names::GROUP)?) {
        return Err(Failure::new(
            ErrorKind::AccessDenied,
            format!("the owner (uid {uid}) is not in the group {}", names::GROUP),
        )
        .hint(format!("add the user to the group {}", names::GROUP)));
    }
    Ok(Account {
        uid,
        gid: user.gid.as_raw(),
        groups,
    })
}

/// Looks up the home of a user.
///
/// # Errors
/// There is no such user, or it has none.
pub fn home(uid: u32) -> Result<PathBuf, Failure> {
    let user = User::from_uid(Uid::from_raw(uid)).map_err(|error| lookup_failed("users", error))?;
    let home = user.map(|user| user.dir).unwrap_or_default();
    if home.is_absolute() {
        return Ok(home);
    }
    let what = format!("the owner (uid {uid}) has no home");
    Err(Failure::new(ErrorKind::NoSuchUser, what).hint("give the user one: usermod --home"))
}

/// The user the daemon runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonUser {
    /// Its uid.
    pub uid: u32,
    /// Its gid.
    pub gid: u32,
}

/// Looks up the user the daemon runs as.
///
/// # Errors
/// There is none, or it is root.
pub fn daemon() -> Result<DaemonUser, Failure> {
    let user = User::from_name(names::DAEMON_USER)
        .map_err(|error| lookup_failed("users", error))?
        .filter(|user| !user.uid.is_root())
        .ok_or_else(|| not_installed("user", names::DAEMON_USER))?;
    Ok(DaemonUser {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

fn group(name: &str) -> Result<u32, Failure> {
    Group::from_name(name)
        .map_err(|error| lookup_failed("groups", error))?
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| not_installed("group", name))
}

fn lookup_failed(what: &str, error: nix::Error) -> Failure {
    crate::fail::cannot(
        ErrorKind::Unavailable,
        format_args!("look up the host's {what}"),
        error,
    )
}

fn not_installed(what: &str, name: &str) -> Failure {
    Failure::new(
        ErrorKind::Unavailable,
        format!("the host has no {what} {name}"),
    )
    .hint("reload the system users: systemd-sysusers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_strangers_own_nothing() {
        assert_eq!(owner(0).unwrap_err().kind, ErrorKind::AccessDenied);
        assert_eq!(owner(0x7fff_fff0).unwrap_err().kind, ErrorKind::NoSuchUser);
    }
}
