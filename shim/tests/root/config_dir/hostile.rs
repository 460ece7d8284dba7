//! Directories that were made to do harm, or lie in an odd place.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use forage_shim::sys::mount::{Detached, leave_host};
use forage_shim::sys::time::{Deadline, poll_one};
use forage_shim::{config_dir, root};
use rustix::event::PollFlags;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::mount::MountAttrFlags;

use super::{PATIENCE, admitted, copy, file, look, refused};
use crate::host::{enter, no_cancel, owned};

#[test]
fn what_is_mounted_below_is_not_entered() {
    let Some(()) = enter() else { return };
    owned("config");
    let below = owned("config/below");
    let memory = Detached::new("tmpfs", &[], MountAttrFlags::empty());
    memory.unwrap().attach(&below).unwrap();
    file(&below.join("hidden"), "");
    let copy = copy("", || ()).unwrap();
    assert!(!copy.place.join("below").exists());
    assert!(copy.log.contains("; 1 passed by"), "{}", copy.log);
}

/// Raises a flag when it is dropped, also by a failure.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_swapped_all_the_time_brings_nothing_of_others() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    fs::create_dir("/mnt/secret").unwrap();
    fs::write("/mnt/secret/file", "CANARY").unwrap();
    // The owner may read it, so nothing but the walk keeps it out.
    fs::set_permissions("/mnt/secret/file", fs::Permissions::from_mode(0o644)).unwrap();
    for name in ["a", "b", "c"] {
        owned(&format!("config/{name}"));
        file(&top.join(name).join("file"), "mine");
        symlink("/mnt/secret", top.join(format!("{name}.link"))).unwrap();
        symlink("/mnt/secret/file", top.join(name).join("link")).unwrap();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = |a: &Path, b: &Path| {
                renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
            };
            while !over.load(Ordering::Relaxed) {
                for name in ["a", "b", "c"] {
                    exchange(&top.join(name), &top.join(format!("{name}.link")));
                }
            }
        });
        let _over = Raised(&over);
        let sandbox = admitted("", "hostConfigDirReadOnly = true");
        let lower = root::open(&sandbox).unwrap();
        let places = root::build(&sandbox, &lower).unwrap();
        let (mut keepers, _) = look(&sandbox).unwrap();
        let cancel = no_cancel();
        let deadline = Deadline::after(PATIENCE);
        config_dir::copy(&sandbox, &places, &mut keepers, deadline, cancel.as_fd()).unwrap();
        let seen = hunt(&places.config(0));
        assert!(!seen.contains("CANARY"), "{seen}");
    });
}

/// Until its name was looked at again, what was read has none in the sandbox.
#[test]
fn nothing_shows_before_it_is_whole() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    file(&top.join("settings.json"), "old");
    let copy = copy("hostConfigDirReadOnly = true", || ()).unwrap();
    let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
    let all = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&inotify, &copy.place, all).unwrap();
    file(&top.join("fresh"), &"x".repeat(1 << 20));
    fs::rename(top.join("fresh"), top.join("settings.json")).unwrap();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let deadline = Deadline::after(PATIENCE);
    let mut seen = Vec::new();
    let mut reader = inotify::Reader::new(inotify.as_fd(), &mut buffer);
    while !seen.contains(&ReadFlags::MOVED_TO) {
        let ready = !reader.is_buffer_empty();
        assert!(ready || poll_one(inotify.as_fd(), PollFlags::IN, deadline).unwrap());
        let event = reader.next().unwrap();
        // The kernel tells of files without a name, too, by a number.
        let named = event
            .file_name()
            .is_some_and(|name| name.to_bytes()[0] != b'#');
        seen.extend(named.then_some(event.events()));
    }
    let written = [ReadFlags::MODIFY, ReadFlags::CLOSE_WRITE];
    assert!(
        seen.iter().all(|event| !written.contains(event)),
        "{seen:?}"
    );
    let whole = fs::metadata(copy.place.join("settings.json"))
        .unwrap()
        .len();
    assert_eq!(whole, 1 << 20);
}

/// Everything in the regular files of a copy.
fn hunt(place: &Path) -> String {
    let mut seen = String::new();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => seen += &hunt(&entry.path()),
            Ok(kind) if kind.is_file() => {
                seen += &fs::read_to_string(entry.path()).unwrap_or_default()
            }
            _ => {}
        }
    }
    seen
}

/// Why a read-only mount with something over the credential would not do: that goes, and in its place
/// comes whatever the host renames there.
#[test]
fn a_mount_over_a_file_goes_when_the_host_replaces_the_file() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    file(&top.join(".credentials.json"), "old");
    fs::write("/mnt/empty", "").unwrap();
    // A sandbox has a mount namespace of its own, in which the file is covered.
    let covered = || {
        let empty = File::open("/mnt/empty").unwrap();
        let cover = Detached::clone_of(empty.as_fd()).unwrap();
        cover.attach(&top.join(".credentials.json")).unwrap();
    };
    let outside = File::open("/proc/thread-self/ns/mnt").unwrap();
    leave_host().unwrap();
    covered();
    let inside = File::open("/proc/thread-self/ns/mnt").unwrap();
    let enter = |space: &File| {
        let kind = Some(rustix::thread::LinkNameSpaceType::Mount);
        rustix::thread::move_into_link_name_space(space.as_fd(), kind).unwrap();
    };
    let seen = || fs::read_to_string(top.join(".credentials.json")).unwrap();
    assert_eq!(seen(), "");
    enter(&outside);
    file(&top.join("fresh"), "CANARY");
    fs::rename(top.join("fresh"), top.join(".credentials.json")).unwrap();
    enter(&inside);
    assert_eq!(seen(), "CANARY");
}

#[test]
fn a_file_system_that_never_answers_is_passed_by() {
    let Some(()) = enter() else { return };
    let device = match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(device) => device,
        Err(error) => {
            eprintln!("skipped: no FUSE here: {error}");
            return;
        }
    };
    owned("config");
    let below = owned("config/below");
    let number = device.as_raw_fd().to_string();
    let options = [
        ("fd", number.as_str()),
        ("rootmode", "40000"),
        ("user_id", "1000"),
        ("group_id", "1000"),
    ];
    let hung = Detached::new("fuse", &options, MountAttrFlags::empty()).unwrap();
    hung.attach(&below).unwrap();
    // What hangs is refused with other words.
    let copy = copy("", || ()).unwrap();
    assert!(!copy.place.join("below").exists());
    assert!(copy.log.contains("; 1 passed by"), "{}", copy.log);
    fs::rename("/mnt/config", "/mnt/elsewhere").unwrap();
    symlink("/mnt/elsewhere/below", "/mnt/config").unwrap();
    assert!(refused("").message.contains("FUSE"));
}
