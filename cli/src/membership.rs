//! Who may call the daemon: what to tell a user whom the system bus turned away.

use std::ffi::CString;

use forage_api::names::GROUP;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist, getgroups};

/// What the host says about the caller and the group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// The host has no such group.
    NoGroup,
    /// The user is no member.
    Outside(String),
    /// The user is a member, but has logged in before becoming one.
    OldLogin,
    /// The process is in the group.
    Inside,
    /// The host does not say who the user is.
    Unknown,
}

/// What a user who was turned away does next.
pub(crate) fn advice() -> String {
    advice_for(&standing())
}

/// The name of a user, where the host knows one.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    Some(User::from_uid(Uid::from_raw(uid)).ok()??.name)
}

fn standing() -> Standing {
    let Ok(Some(group)) = Group::from_name(GROUP) else {
        return Standing::NoGroup;
    };
    let current = getgroups().unwrap_or_default();
    if getegid() == group.gid || current.contains(&group.gid) {
        return Standing::Inside;
    }
    let Ok(Some(user)) = User::from_uid(geteuid()) else {
        return Standing::Unknown;
    };
    if groups_of(&user).contains(&group.gid) {
        Standing::OldLogin
    } else {
        Standing::Outside(user.name)
    }
}

fn groups_of(user: &User) -> Vec<Gid> {
    CString::new(user.name.as_str())
        .ok()
        .and_then(|name| getgrouplist(&name, user.gid).ok())
        .unwrap_or_default()
}

fn advice_for(standing: &Standing) -> String {
    match standing {
        Standing::NoGroup => format!(
            "the host has no group {GROUP}: is Firefly Forage installed?\n\
             systemctl status firefly-forage.service says how the daemon is"
        ),
        Standing::Outside(user) => format!(
            "only members of the group {GROUP} may: sudo usermod -aG {GROUP} {user}\n\
             then log in again"
        ),
        Standing::OldLogin => format!(
            "you have become a member of the group {GROUP} since you logged in: log in again\n\
             (newgrp {GROUP} does it for one shell)"
        ),
        Standing::Inside => {
            "the bus policy of Firefly Forage may be missing: install it again, then\n\
             sudo systemctl reload dbus.service"
                .into()
        }
        Standing::Unknown => {
            format!("only members of the group {GROUP} may; the host does not know your user")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_by_standing() {
        for (standing, says) in [
            (Standing::NoGroup, "no group forage"),
            (Standing::Outside("bob".into()), "usermod -aG forage bob"),
            (Standing::OldLogin, "since you logged in: log in again"),
            (Standing::Inside, "reload dbus"),
            (Standing::Unknown, "does not know your user"),
        ] {
            let advice = advice_for(&standing);
            assert!(advice.contains(says), "{advice}");
        }
        assert!(!advice().is_empty());
    }

    #[test]
    fn users_by_uid() {
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(user_name(0x7eee_eeee), None);
    }
}
