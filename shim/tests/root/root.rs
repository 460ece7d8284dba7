//! The root that nspawn starts.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use forage_api::ErrorKind;
use forage_shim::{root, workspace};

use crate::host::{as_user, enter, make_file, no_cancel, owned, sandbox};

#[test]
fn the_tree_is_shifted_written_to_and_left_alone() {
    let Some(()) = enter() else { return };
    let repository = owned("repo");
    let sandbox = sandbox(
        Some(&repository),
        "workspacePath = \"/home/agent/work/here\"\n",
    );
    let lower = root::open(&sandbox).unwrap();
    let pinned = workspace::pin(&sandbox, no_cancel().as_fd()).unwrap();
    let outside = fs::File::open("/proc/thread-self/ns/mnt").unwrap();
    let places = root::build(&sandbox, &lower).unwrap();
    root::add_workspace(&sandbox, &places, &pinned).unwrap();
    let uid = |path: &str| fs::metadata(places.root().join(path)).unwrap().uid();
    let base = sandbox.base();
    assert_eq!(uid("."), base);
    assert_eq!(uid("sbin/init"), base);
    assert_eq!(uid("home/agent"), base + 1000);
    assert_eq!(uid("home/agent/work/here"), base + 1000);
    assert_eq!(fs::metadata(places.workspace()).unwrap().uid(), base + 1000);
    fs::write(places.root().join("sbin/init"), "changed").unwrap();
    assert_eq!(fs::read("/mnt/tree/sbin/init").unwrap(), b"");
    assert!(!Path::new("/mnt/tree/home/agent/work").exists());
    // For everyone else there is an empty directory.
    let kind = Some(rustix::thread::LinkNameSpaceType::Mount);
    rustix::thread::move_into_link_name_space(outside.as_fd(), kind).unwrap();
    assert_eq!(
        fs::read_dir("/run/firefly-forage/pin/00000001")
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn what_a_sandbox_writes_is_limited() {
    let Some(()) = enter() else { return };
    let sandbox = sandbox(None, "rootSize = \"1M\"\n");
    let lower = root::open(&sandbox).unwrap();
    let places = root::build(&sandbox, &lower).unwrap();
    let full = fs::write(places.root().join("large"), vec![1; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // Nobody gets near it from outside, not even by the sandbox's own ids.
    let made = as_user(sandbox.base(), || make_file(&places.root().join("x")));
    assert_eq!(made, Err(libc::EACCES));
}

#[test]
fn a_tree_that_is_not_there_is_refused() {
    let Some(()) = enter() else { return };
    let missing = sandbox(None, "init = \"/lib/init\"\n");
    let failure = root::open(&missing).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::InvalidConfig);
    assert!(
        failure
            .message
            .contains("its init /lib/init cannot be opened")
    );
    let whole = sandbox(None, "");
    fs::rename("/mnt/tree", "/mnt/gone").unwrap();
    let failure = root::open(&whole).unwrap_err();
    assert!(
        failure
            .message
            .contains("its root /mnt/tree cannot be opened"),
        "{failure}"
    );
}
