//! Copies that follow what changes.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use forage_shim::sys::time::{Deadline, poll_one};
use rustix::event::PollFlags;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{PATIENCE, copy, file};
use crate::host::{OWNER, enter, owned};

/// Waits until something becomes true of the copy.
fn until(place: &Path, what: &str, is_so: impl Fn() -> bool) {
    let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
    let events = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
    inotify::add_watch(&inotify, place, events).unwrap();
    let deadline = Deadline::after(PATIENCE);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    while !is_so() {
        let heard = poll_one(inotify.as_fd(), PollFlags::IN, deadline).unwrap();
        assert!(heard, "{what}: not in time");
        inotify::Reader::new(inotify.as_fd(), &mut buffer)
            .next()
            .unwrap();
    }
}

#[test]
fn a_copy_that_cannot_be_written_follows_what_changes() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    file(&top.join("settings.json"), "old");
    let copy = copy("hostConfigDirReadOnly = true", || ()).unwrap();
    let place = &copy.place;
    let holds =
        |name: &str, text: &str| fs::read_to_string(place.join(name)).is_ok_and(|t| t == text);
    // Replaced, written in place with the same size, in a directory that is new, moved, removed.
    file(&top.join("fresh"), "new");
    fs::rename(top.join("fresh"), top.join("settings.json")).unwrap();
    until(place, "replaced", || holds("settings.json", "new"));
    file(&top.join("settings.json"), "NEW");
    until(place, "written", || holds("settings.json", "NEW"));
    let commands = owned("config/commands");
    file(&commands.join("one.md"), "1");
    until(place, "a new directory", || place.join("commands").exists());
    until(&place.join("commands"), "a file in it", || {
        holds("commands/one.md", "1")
    });
    file(&commands.join("two.md"), "2");
    until(&place.join("commands"), "later in it", || {
        holds("commands/two.md", "2")
    });
    fs::rename(&commands, top.join("moved")).unwrap();
    until(place, "moved", || {
        place.join("moved").exists() && !place.join("commands").exists()
    });
    until(&place.join("moved"), "what was moved", || {
        holds("moved/two.md", "2")
    });
    file(&top.join("moved/three.md"), "3");
    until(&place.join("moved"), "after a move", || {
        holds("moved/three.md", "3")
    });
    fs::remove_dir_all(top.join("moved")).unwrap();
    until(place, "removed", || !place.join("moved").exists());
    fs::remove_file(top.join("settings.json")).unwrap();
    fs::create_dir(top.join("settings.json")).unwrap();
    chown(top.join("settings.json"), Some(OWNER), Some(OWNER)).unwrap();
    until(place, "of another kind", || {
        place.join("settings.json").is_dir()
    });
    assert_eq!(
        fs::metadata(place.join("settings.json")).unwrap().uid(),
        copy.agent
    );
}

#[test]
fn credentials_are_never_followed_whatever_becomes_of_their_names() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    file(&top.join("settings.json"), "{}");
    let copy = copy("hostConfigDirReadOnly = true", || ()).unwrap();
    let below = owned("config/below");
    for directory in [&top, &below] {
        // As Claude Code writes it, as an editor does, and as somebody with a name of their own.
        for name in [
            ".credentials.json.tmp.0a0b0c0d",
            ".credentials.json~",
            "anything",
        ] {
            file(&directory.join(name), "CANARY");
            fs::rename(directory.join(name), directory.join(".credentials.json")).unwrap();
        }
        fs::remove_file(directory.join(".credentials.json")).unwrap();
        file(&directory.join(".credentials.json"), "CANARY");
    }
    // Changes are taken in their order, so after this one those above were.
    file(&below.join("last"), "last");
    let place = &copy.place;
    until(place, "the directory", || place.join("below").exists());
    until(&place.join("below"), "the last", || {
        place.join("below/last").exists()
    });
    let names = |at: &Path| -> Vec<_> {
        fs::read_dir(at)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect()
    };
    assert_eq!(names(&place.join("below")), ["last"]);
    assert_eq!(names(place).len(), 2, "{:?}", names(place));
}

#[test]
fn what_grows_too_large_later_is_told_and_the_rest_followed() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    let mut copy = copy(
        "hostConfigDirReadOnly = true\nhostConfigDirMaxSize = \"1M\"",
        || (),
    )
    .unwrap();
    file(&top.join("large"), &"x".repeat(2 << 20));
    let keeper = copy.keepers.first_mut().unwrap();
    let deadline = Deadline::after(PATIENCE);
    assert!(poll_one(keeper.events().unwrap(), PollFlags::IN, deadline).unwrap());
    let told = keeper.changes().join("\n");
    assert!(
        told.contains("not up to date: ") && told.contains("more than 1 MiB"),
        "{told}"
    );
    file(&top.join("small"), "small");
    until(&copy.place, "the rest", || {
        copy.place.join("small").exists()
    });
    assert!(!copy.place.join("large").exists());
}
