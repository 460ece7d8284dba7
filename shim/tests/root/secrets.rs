//! The secrets directory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use forage_api::Secret;
use forage_api::ident::SandboxId;
use forage_api::places;
use forage_shim::secrets::directory::{self, Directory};
use forage_shim::sys::mount::Detached;
use rustix::mount::MountAttrFlags;

use crate::host::{as_user, enter};

const AGENT: u32 = 0x7003_03e8;

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

#[test]
fn values_are_the_agents_alone_and_replaced_whole() {
    let Some(()) = enter() else { return };
    let id = SandboxId::new(1);
    let parent = Path::new(places::SECRETS);
    let made = Directory::make(parent, id, AGENT, AGENT).unwrap();
    made.write("key", &secret("old")).unwrap();
    let path = places::secrets(id).join("key");
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mode() & 0o7777),
        (AGENT, AGENT, 0o400)
    );
    let mut before = File::open(&path).unwrap();
    made.write("key", &secret("new")).unwrap();
    let mut text = String::new();
    before.read_to_string(&mut text).unwrap();
    assert_eq!(
        (text.as_str(), fs::read(&path).unwrap()),
        ("old", b"new".to_vec())
    );
    assert!(made.holds("key", &secret("new")) && !made.holds("key", &secret("old")));
    // On the host not even the agent's own uid gets to it.
    let reads = |uid| as_user(uid, || fs::read(&path).map(drop));
    assert_eq!(reads(AGENT), Err(libc::EACCES));
    assert!(made.remove("key").unwrap() && !made.remove("key").unwrap());
    made.write("other", &secret("x")).unwrap();
    directory::remove(parent, id).unwrap();
    directory::remove(parent, id).unwrap();
    assert!(!places::secrets(id).exists());
}

#[test]
fn a_full_disk_keeps_the_old_value() {
    let Some(()) = enter() else { return };
    let small = Detached::new(
        "tmpfs",
        &[("size", "8k"), ("mode", "0700")],
        MountAttrFlags::empty(),
    );
    small.unwrap().attach(Path::new(places::SECRETS)).unwrap();
    let made =
        Directory::make(Path::new(places::SECRETS), SandboxId::new(1), AGENT, AGENT).unwrap();
    made.write("key", &secret("old")).unwrap();
    let error = made.write("key", &secret(&"x".repeat(10_000))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(made.holds("key", &secret("old")));
    assert_eq!(
        fs::read_dir(places::secrets(SandboxId::new(1)))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn a_parent_that_is_not_memory_of_roots_alone_is_refused() {
    let Some(()) = enter() else { return };
    let make = |parent: &str| Directory::make(Path::new(parent), SandboxId::new(1), AGENT, AGENT);
    fs::set_permissions(places::SECRETS, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        make(places::SECRETS).unwrap_err().kind(),
        io::ErrorKind::Unsupported
    );
    assert_eq!(
        make("/proc").unwrap_err().kind(),
        io::ErrorKind::Unsupported
    );
    assert_eq!(
        make("/run/nothing").unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
