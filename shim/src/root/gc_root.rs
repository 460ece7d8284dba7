//! A root for Nix's garbage collector: as long as a sandbox runs, its system and everything that needs
//! is kept, also when the configuration names another one by then.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use forage_api::ident::SandboxId;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, fstat, mkdirat, openat, readlinkat, symlinkat, unlinkat,
};
use rustix::io::Errno;

/// Where Nix looks for roots. On a host without Nix it is missing, which is fine.
const ROOTS: &str = "/nix/var/nix/gcroots";
/// Our directory in it.
const OURS: &str = "firefly-forage";

/// Registers the system of a sandbox.
///
/// # Errors
/// What the file system says, or that the directory is not root's alone.
pub fn register(id: SandboxId, system: &Path) -> io::Result<()> {
    register_in(Path::new(ROOTS), id, system)
}

/// Removes the root of a sandbox, if there is one.
///
/// # Errors
/// What the file system says.
pub fn remove(id: SandboxId) -> io::Result<()> {
    remove_in(Path::new(ROOTS), id)
}

fn register_in(roots: &Path, id: SandboxId, system: &Path) -> io::Result<()> {
    let roots = match open(CWD, roots) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match mkdirat(&roots, OURS, Mode::RWXU) {
        Err(Errno::EXIST) => {}
        other => other?,
    }
    let ours = open(roots.as_fd(), Path::new(OURS))?;
    unlink(&ours, id)?;
    Ok(symlinkat(system, &ours, id.to_string())?)
}

fn remove_in(roots: &Path, id: SandboxId) -> io::Result<()> {
    // What cannot be opened like that holds nothing of ours, and must not stand in the way.
    open(CWD, &roots.join(OURS)).map_or(Ok(()), |ours| unlink(&ours, id))
}

fn unlink(directory: &OwnedFd, id: SandboxId) -> io::Result<()> {
    let name = id.to_string();
    // A read-only file system refuses to remove what is not there, too.
    match readlinkat(directory, &name, Vec::new()) {
        Err(Errno::NOENT) => Ok(()),
        _ => Ok(unlinkat(directory, &name, AtFlags::empty())?),
    }
}

/// Opens a directory that is root's alone. A name at a time, so that no link is followed: where Nix is
/// a user's, that user could make the path lead anywhere. (`openat2` would do it at once, but there is
/// none in a unit with `RestrictSUIDSGID=`.)
fn open(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let begin = if path.is_absolute() { "/" } else { "." };
    let mut directory = openat(at, begin, flags, Mode::empty())?;
    for name in path.iter().filter(|name| *name != "/") {
        directory = openat(&directory, name, flags, Mode::empty())?;
    }
    let status = fstat(&directory)?;
    if status.st_uid != 0 || status.st_mode & 0o022 != 0 {
        let what = format!("{} is not root's alone", path.display());
        return Err(io::Error::other(what));
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn registered_once_and_removed() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let id = SandboxId::new(0xabc);
        let roots = top.join("roots");
        register_in(&roots, id, Path::new("/nix/store/a")).unwrap();
        remove_in(&roots, id).unwrap();
        assert!(!roots.exists());
        fs::create_dir(&roots).unwrap();
        remove_in(&roots, id).unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(register_in(&roots, id, Path::new("/nix/store/a")).is_err());
            eprintln!("skipped in part: it needs root");
            return;
        }
        for system in ["/nix/store/a", "/nix/store/b"] {
            register_in(&roots, id, Path::new(system)).unwrap();
            let link = fs::read_link(roots.join("firefly-forage/00000abc")).unwrap();
            assert_eq!(link, Path::new(system));
        }
        remove_in(&roots, id).unwrap();
        remove_in(&roots, id).unwrap();
        assert_eq!(
            fs::read_dir(roots.join("firefly-forage")).unwrap().count(),
            0
        );
    }

    #[test]
    fn nothing_is_made_where_others_may_write() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let id = SandboxId::new(1);
        for name in ["open", "target"] {
            fs::create_dir(top.join(name)).unwrap();
        }
        fs::set_permissions(top.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(register_in(&top.join("open"), id, Path::new("/nix/store/a")).is_err());
        symlink(top.join("target"), top.join("link")).unwrap();
        assert!(register_in(&top.join("link"), id, Path::new("/nix/store/a")).is_err());
        assert_eq!(fs::read_dir(top.join("target")).unwrap().count(), 0);
        // Our own directory in it is not to be trusted either.
        symlink(top.join("open"), top.join("target/firefly-forage")).unwrap();
        assert!(register_in(&top.join("target"), id, Path::new("/nix/store/a")).is_err());
        fs::write(top.join("open/00000001"), "").unwrap();
        remove_in(&top.join("target"), id).unwrap();
        assert!(top.join("open/00000001").exists());
    }
}
