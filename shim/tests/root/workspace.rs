//! The pinned workspace.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use forage_api::ErrorKind;
use forage_shim::sys::mount::Detached;
use forage_shim::workspace;
use rustix::mount::MountAttrFlags;

use crate::host::{OWNER, as_user, enter, make_file, no_cancel, owned, sandbox};

/// Pins a directory and attaches it.
fn pinned(repository: Option<&Path>) -> &'static Path {
    let place = Path::new("/mnt/ws");
    fs::create_dir(place).unwrap();
    let tree = workspace::pin(&sandbox(repository, ""), no_cancel().as_fd()).unwrap();
    tree.attach(place).unwrap();
    place
}

fn refusal(repository: &Path) -> String {
    let sandbox = sandbox(Some(repository), "");
    let failure = workspace::pin(&sandbox, no_cancel().as_fd()).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::InvalidRepository);
    failure.message
}

#[test]
fn exactly_one_user_of_the_sandbox_can_write() {
    let Some(()) = enter() else { return };
    let repository = owned("repo");
    let place = pinned(Some(&repository));
    let base = sandbox(None, "").base();
    let seen = fs::metadata(place).unwrap();
    assert_eq!((seen.uid(), seen.gid()), (base + 1000, base + 1000));
    assert_eq!(
        as_user(base + 1000, || make_file(&place.join("agent"))),
        Ok(())
    );
    assert_eq!(fs::metadata(repository.join("agent")).unwrap().uid(), OWNER);
    // The sandbox's root has no id there, whatever the mode says.
    fs::set_permissions(&repository, fs::Permissions::from_mode(0o777)).unwrap();
    for stranger in [base, base + 1, base + 1001] {
        let made = as_user(stranger, || make_file(&place.join("stranger")));
        assert_eq!(made, Err(libc::EOVERFLOW), "{stranger}");
    }
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let line = mounts.lines().find(|l| l.contains(" /mnt/ws ")).unwrap();
    for option in ["nosuid", "nodev", "idmapped"] {
        assert!(line.contains(option), "{line}");
    }
}

#[test]
fn swapping_the_path_and_mounting_below_it_change_nothing() {
    let Some(()) = enter() else { return };
    let repository = owned("repo");
    let below = owned("repo/below");
    let hidden = Detached::new("tmpfs", &[], MountAttrFlags::empty()).unwrap();
    hidden.attach(&below).unwrap();
    fs::write(below.join("hidden"), "").unwrap();
    let place = pinned(Some(&repository));
    assert!(!place.join("below/hidden").exists());
    fs::write(repository.join("mine"), "").unwrap();
    fs::rename(&repository, "/mnt/elsewhere").unwrap();
    symlink("/root", &repository).unwrap();
    assert!(place.join("mine").exists());
    let later = owned("elsewhere/later");
    let hidden = Detached::new("tmpfs", &[], MountAttrFlags::empty()).unwrap();
    hidden.attach(&later).unwrap();
    fs::write(later.join("hidden"), "").unwrap();
    assert!(place.join("later").exists());
    assert!(!place.join("later/hidden").exists());
}

#[test]
fn a_workspace_of_its_own_is_made_once_and_kept() {
    let Some(()) = enter() else { return };
    let place = pinned(None);
    let own = Path::new("/var/lib/firefly-forage/workspaces/00000001");
    let meta = fs::metadata(own).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (OWNER, 0o700));
    let agent = sandbox(None, "").agent_uid();
    assert_eq!(as_user(agent, || make_file(&place.join("kept"))), Ok(()));
    workspace::pin(&sandbox(None, ""), no_cancel().as_fd()).unwrap();
    assert!(own.join("kept").exists());
}

#[test]
fn what_the_owner_cannot_open_is_refused() {
    let Some(()) = enter() else { return };
    owned("locked/inside");
    chown("/mnt/locked", Some(0), Some(0)).unwrap();
    fs::set_permissions("/mnt/locked", fs::Permissions::from_mode(0o700)).unwrap();
    assert!(refusal(Path::new("/mnt/locked/inside")).contains("may not enter"));
    symlink("/root", "/mnt/link").unwrap();
    assert!(refusal(Path::new("/mnt/link")).contains("belongs to another user"));
    assert!(refusal(Path::new("/mnt/missing")).contains("does not exist"));
    assert!(refusal(Path::new("/proc/1/root")).contains("may not enter"));
    symlink("loop", "/mnt/loop").unwrap();
    assert!(refusal(Path::new("/mnt/loop")).contains("too many links"));
    assert!(refusal(Path::new("repo")).contains("not an absolute path"));
    assert!(refusal(Path::new("/run")).contains("overlaps"));
}

#[test]
fn a_file_system_without_id_maps_is_refused() {
    let Some(()) = enter() else { return };
    for directory in ["lower", "upper", "work", "overlay"] {
        owned(directory);
    }
    let options = [
        ("lowerdir", "/mnt/lower"),
        ("upperdir", "/mnt/upper"),
        ("workdir", "/mnt/work"),
    ];
    let overlay = Detached::new("overlay", &options, MountAttrFlags::empty()).unwrap();
    overlay.attach(Path::new("/mnt/overlay")).unwrap();
    let message = refusal(Path::new("/mnt/overlay"));
    assert!(
        message.contains("(overlay) that does not support id-mapped mounts"),
        "{message}"
    );
}
