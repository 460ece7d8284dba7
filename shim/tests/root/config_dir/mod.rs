//! Copies of configuration directories, made by a process with the owner's rights.

mod follow;
mod hostile;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forage_api::{ErrorKind, Failure};
use forage_shim::admission::Admitted;
use forage_shim::config_dir::{self, Keeper};
use forage_shim::root::{self, Places};
use forage_shim::sys::time::Deadline;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::host::{OWNER, enter, no_cancel, owned, sandbox};

const PATIENCE: Duration = Duration::from_secs(20);

fn admitted(template: &str, keys: &str) -> Admitted {
    let agent = "[templates.t.agents.a]\ncommand = \"/a\"\nhostConfigDir = \"/mnt/config\"";
    let mut sandbox = sandbox(None, &format!("{template}\n{agent}\n{keys}\n"));
    let planned = sandbox.template.config_dirs();
    sandbox.config_dirs = config_dir::located(planned, OWNER).unwrap();
    sandbox
}

/// Looks at the directory, as the first step of a start does.
fn look(sandbox: &Admitted) -> Result<(Vec<Keeper>, Vec<String>), Failure> {
    let mut keepers = config_dir::begin(sandbox)?;
    let lines = config_dir::ready(&mut keepers, no_cancel().as_fd())?;
    Ok((keepers, lines))
}

/// A copy, and what the log says of it.
struct Copy {
    place: PathBuf,
    root: PathBuf,
    log: String,
    keepers: Vec<Keeper>,
    agent: u32,
}

fn copy(keys: &str, meanwhile: impl FnOnce()) -> Result<Copy, Failure> {
    let sandbox = admitted("", keys);
    let (mut keepers, mut lines) = look(&sandbox)?;
    let lower = root::open(&sandbox)?;
    let places: Places = root::build(&sandbox, &lower)?;
    meanwhile();
    let cancel = no_cancel();
    let deadline = Deadline::after(PATIENCE);
    let copied = config_dir::copy(&sandbox, &places, &mut keepers, deadline, cancel.as_fd());
    lines.extend(copied?);
    Ok(Copy {
        place: places.config(0),
        root: places.root(),
        log: lines.join("\n"),
        keepers,
        agent: sandbox.agent_uid(),
    })
}

fn refused(keys: &str) -> Failure {
    refused_with("", keys)
}

fn refused_with(template: &str, keys: &str) -> Failure {
    let failure = look(&admitted(template, keys)).err().unwrap();
    assert_eq!(failure.kind, ErrorKind::ConfigDirUnusable);
    assert!(!failure.hint.is_empty(), "{failure:?}");
    failure
}

/// A file of the owner's.
fn file(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    chown(path, Some(OWNER), Some(OWNER)).unwrap();
}

#[test]
fn what_is_the_owners_becomes_the_agents() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    let plugins = owned("config/plugins/cache");
    file(&top.join("settings.json"), "{}");
    file(&plugins.join("run.sh"), "#!/bin/sh");
    fs::set_permissions(plugins.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let odd = top.join(OsStr::from_bytes(b"a\nb\xff"));
    file(&odd, "odd");
    symlink("/etc/shadow", top.join("link")).unwrap();
    let copy = copy("", || ()).unwrap();
    let seen = |path: &str| fs::symlink_metadata(copy.place.join(path)).unwrap();
    for path in [
        ".",
        "settings.json",
        "plugins",
        "plugins/cache/run.sh",
        "link",
    ] {
        assert_eq!(
            (seen(path).uid(), seen(path).gid()),
            (copy.agent, copy.agent),
            "{path}"
        );
    }
    assert_eq!(seen(".").mode() & 0o7777, 0o700);
    assert_eq!(seen("settings.json").mode() & 0o7777, 0o600);
    assert_eq!(seen("plugins/cache/run.sh").mode() & 0o7777, 0o700);
    let written = fs::metadata(top.join("settings.json"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(seen("settings.json").modified().unwrap(), written);
    let link = fs::read_link(copy.place.join("link")).unwrap();
    assert_eq!(link, Path::new("/etc/shadow"));
    let odd = copy.place.join(odd.file_name().unwrap());
    assert_eq!(fs::read(odd).unwrap(), b"odd");
    assert!(copy.log.contains("copied \"/mnt/config\""), "{}", copy.log);
    // It is a copy: what is done to it changes nothing.
    fs::write(copy.place.join("settings.json"), "hooks").unwrap();
    assert_eq!(fs::read(top.join("settings.json")).unwrap(), b"{}");
    // Its process is gone.
    assert!(copy.keepers.iter().all(|keeper| keeper.events().is_none()));
}

#[test]
fn credentials_caches_and_what_the_owner_may_not_read_stay() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    let below = owned("config/plugins");
    owned("config/cache/deep");
    for name in [
        ".credentials.json",
        "auth.json",
        ".claude.json",
        ".credentials.json.tmp.1",
    ] {
        file(&top.join(name), "CANARY");
        file(&below.join(name), "CANARY");
    }
    let others = top.join("others");
    fs::write(&others, "CANARY of root").unwrap();
    fs::set_permissions(&others, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(top.join("locked")).unwrap();
    fs::set_permissions(top.join("locked"), fs::Permissions::from_mode(0o700)).unwrap();
    mknodat(
        CWD,
        top.join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    let _socket = UnixListener::bind(top.join("socket")).unwrap();
    let kmsg = rustix::fs::makedev(1, 11);
    mknodat(
        CWD,
        top.join("device"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        kmsg,
    )
    .unwrap();
    file(&top.join("kept"), "kept");
    let copy = copy("", || ()).unwrap();
    let mut names: Vec<_> = fs::read_dir(&copy.place)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["kept", "plugins"]);
    assert_eq!(fs::read_dir(copy.place.join("plugins")).unwrap().count(), 0);
    assert!(copy.log.contains("; 5 passed by"), "{}", copy.log);
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let Some(()) = enter() else { return };
    let top = Path::new("/mnt/config");
    let message = |expected: &str| {
        let failure = refused("");
        assert!(failure.message.contains(expected), "{failure:?}");
        assert!(failure.message.contains("/mnt/config"), "{failure:?}");
    };
    file(top, "");
    message("not a directory");
    fs::remove_file(top).unwrap();
    mknodat(CWD, top, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    message("not a directory");
    fs::remove_file(top).unwrap();
    symlink("/proc/self", top).unwrap();
    message("a window into the kernel");
    fs::remove_file(top).unwrap();
    symlink("config", top).unwrap();
    message("too many links");
    fs::remove_file(top).unwrap();
    let others = owned("others");
    chown(&others, Some(OWNER + 1), Some(OWNER)).unwrap();
    symlink(&others, top).unwrap();
    message("belongs to another user");
    fs::set_permissions("/mnt/others", fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir("/mnt/others/inner").unwrap();
    fs::remove_file(top).unwrap();
    symlink("/mnt/others/inner", top).unwrap();
    message("may not enter");
    fs::remove_file(top).unwrap();
    owned("config");
    fs::set_permissions(top, fs::Permissions::from_mode(0o300)).unwrap();
    message("may not read");
}

#[test]
fn limits_are_told_with_their_remedy() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    let projects = owned("config/projects");
    File::create(projects.join("sparse"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    chown(projects.join("sparse"), Some(OWNER), Some(OWNER)).unwrap();
    let failure = refused("hostConfigDirMaxSize = \"1M\"");
    assert!(
        failure.message.contains("holds more than 1 MiB"),
        "{failure:?}"
    );
    assert!(failure.hint.contains("\"projects\"") && failure.hint.contains("hostConfigDirMaxSize"));
    let failure = refused_with("rootSize = \"1M\"", "");
    assert!(failure.hint.contains("rootSize"), "{failure:?}");
    fs::remove_file(projects.join("sparse")).unwrap();
    let mut deep = projects.clone();
    for _ in 0..70 {
        deep.push("d");
        fs::create_dir(&deep).unwrap();
    }
    assert!(refused("").message.contains("64 deep"));
    fs::remove_dir_all(projects.join("d")).unwrap();
    for number in 0..100_001 {
        rustix::fs::mkdirat(CWD, top.join(number.to_string()), Mode::RWXU).unwrap();
    }
    assert!(refused("").message.contains("more than 100000 files"));
}

#[test]
fn a_directory_that_is_not_there_is_empty() {
    let Some(()) = enter() else { return };
    for keys in ["", "hostConfigDirReadOnly = true"] {
        let (_, lines) = look(&admitted("", keys)).unwrap();
        assert!(
            lines[0].contains("there is no \"/mnt/config\""),
            "{lines:?}"
        );
    }
    let copy = copy("", || ()).unwrap();
    assert_eq!(fs::read_dir(&copy.place).unwrap().count(), 0);
    assert_eq!(fs::metadata(&copy.place).unwrap().uid(), copy.agent);
}

#[test]
fn it_is_copied_from_where_it_was_first_found() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    file(&top.join("mine"), "mine");
    let swapped = copy("", || {
        fs::rename("/mnt/config", "/mnt/elsewhere").unwrap();
        symlink("/etc", "/mnt/config").unwrap();
    });
    let place = swapped.unwrap().place;
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    assert_eq!(fs::read(place.join("mine")).unwrap(), b"mine");
}

#[test]
fn what_grows_meanwhile_is_stopped() {
    let Some(()) = enter() else { return };
    let top = owned("config");
    let grown = copy("hostConfigDirMaxSize = \"1M\"", || {
        let large = "x".repeat(2 << 20);
        file(&top.join("large"), &large);
    });
    let failure = grown.err().unwrap();
    assert!(
        failure.message.contains("holds more than 1 MiB"),
        "{failure:?}"
    );
}

#[test]
fn what_is_missing_of_the_agents_home_is_the_agents() {
    let Some(()) = enter() else { return };
    owned("config");
    let keys = "containerConfigDir = \"/home/agent/.config/deep/claude\"";
    let copy = copy(keys, || ()).unwrap();
    let uid = |path: &str| fs::metadata(copy.root.join(path)).unwrap().uid();
    for path in [".config", ".config/deep", ".config/deep/claude"] {
        assert_eq!(uid(&format!("home/agent/{path}")), copy.agent, "{path}");
    }
    assert_eq!(uid("home"), copy.agent - 1000);
}

#[test]
fn a_home_that_is_missing_is_the_agents_too() {
    let Some(()) = enter() else { return };
    owned("config");
    let sandbox = admitted("agentUser = \"coder\"", "");
    let lower = root::open(&sandbox).unwrap();
    let places = root::build(&sandbox, &lower).unwrap();
    root::add_config(&sandbox, &places, 0, &sandbox.config_dirs[0].inside).unwrap();
    let uid = |path: &str| fs::metadata(places.root().join(path)).unwrap().uid();
    assert_eq!(uid("home/coder/config"), sandbox.agent_uid());
    assert_eq!(uid("home/coder"), sandbox.agent_uid());
    assert_eq!(uid("home"), sandbox.base());
}

#[test]
fn what_the_operator_names_may_be_roots_but_nobody_elses() {
    let Some(()) = enter() else { return };
    fs::create_dir("/mnt/config").unwrap();
    fs::set_permissions("/mnt/config", fs::Permissions::from_mode(0o755)).unwrap();
    fs::write("/mnt/config/shared", "shared").unwrap();
    let copy = copy("", || ()).unwrap();
    assert_eq!(fs::read(copy.place.join("shared")).unwrap(), b"shared");
    chown("/mnt/config", Some(OWNER + 1), None).unwrap();
    assert!(refused("").message.contains("belongs to another user"));
}
