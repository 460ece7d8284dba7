//! Whether root may follow the way to a secret's file. The configuration names the path, but somebody
//! else may own a part of it, and root must not read for that user what the user could not: from a
//! place a user owns the way leads only to what the same user owns, and a place where anyone can
//! replace names leads nowhere.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Stat, fstat};

use crate::walk::{Lost, Way, walk};

/// Walks the path of a secret's file.
pub(super) fn walk_safely(path: &Path) -> Way {
    // Who could have laid the way so far; root at first.
    let mut user = 0;
    walk(path, &mut |directory: &OwnedFd, found: &OwnedFd| {
        user = next_user(user, &fstat(directory)?, &fstat(found)?)?;
        Ok(())
    })
}

/// Who could have laid the way after one more step: `user` could so far, the entry `found` lies in
/// the directory `above`.
fn next_user(user: u32, above: &Stat, found: &Stat) -> Result<u32, Lost> {
    const STICKY: u32 = 0o1000;
    let refused = |why: &str| Err(Lost::Refused(why.to_owned()));
    let open_to_others = above.st_mode & 0o022 != 0;
    if open_to_others && above.st_mode & STICKY == 0 {
        return refused("it lies in a directory that others can write to");
    }
    // In a directory like /tmp whoever owns an entry made it.
    let maker = if open_to_others {
        found.st_uid
    } else {
        above.st_uid
    };
    let user = if user == 0 { maker } else { user };
    if user != 0 && found.st_uid != user {
        return refused(
            "a user who owns a part of its path made it lead to what somebody else owns",
        );
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_directory_open_to_others_leads_nowhere() {
        let top = tempfile::tempdir().unwrap();
        let key = top.path().canonicalize().unwrap().join("key");
        fs::write(&key, "x").unwrap();
        assert!(walk_safely(&key).end.is_ok());
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let end = walk_safely(&key).end;
        assert!(matches!(end, Err(Lost::Refused(why)) if why.contains("others can write")));
    }

    #[test]
    fn who_could_have_laid_the_way() {
        let mut above = fstat(fs::File::open("/dev/null").unwrap()).unwrap();
        let mut found = above;
        let mut next = |user, directory: (u32, u32), owner| {
            (above.st_uid, above.st_mode) = directory;
            found.st_uid = owner;
            next_user(user, &above, &found).ok()
        };
        // Root's directories: whatever root put there.
        assert_eq!(next(0, (0, 0o755), 0), Some(0));
        assert_eq!(next(0, (0, 0o755), 1000), Some(0));
        // A user's: only the user's own, from there on.
        assert_eq!(next(0, (1000, 0o755), 1000), Some(1000));
        assert_eq!(next(0, (1000, 0o755), 0), None);
        assert_eq!(next(0, (1000, 0o755), 1001), None);
        assert_eq!(next(1000, (0, 0o755), 0), None);
        assert_eq!(next(1000, (0, 0o755), 1000), Some(1000));
        // Directories open to others.
        assert_eq!(next(0, (0, 0o1777), 1000), Some(1000));
        assert_eq!(next(0, (0, 0o1777), 0), Some(0));
        assert_eq!(next(0, (0, 0o777), 0), None);
        assert_eq!(next(0, (0, 0o775), 0), None);
        assert_eq!(next(1000, (1000, 0o775), 1000), None);
    }
}
