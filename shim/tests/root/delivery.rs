//! What is delivered of what is wanted: tokens and secrets, as values and as Claude Code's file.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use forage_api::shim::control::{Delivered, TokenSource};
use forage_api::{Secret, places};
use forage_shim::admission::Admitted;
use forage_shim::secrets::{Delivery, Wanted};
use forage_shim::sys::mount::Detached;
use rustix::fs::{CWD, IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, openat};
use rustix::mount::{MountAttrFlags, MountFlags, mount_remount};

use crate::host::{enter, sandbox};

const FILE_AGENT: &str = "[templates.t.agents.claude]\ncommand = \"/c\"\ndelivery = \"file\"\n";
const ENV_AGENT: &str = "[templates.t.agents.claude]\ncommand = \"/c\"\n";
const KEY: &str = "/mnt/key";

/// A template with one Claude agent and one that reads the secret `key`.
fn with_secret(agent: &str, more: &str) -> Admitted {
    let mut admitted = sandbox(
        None,
        &format!(
            "{agent}[templates.t.agents.codex]\ncommand = \"/x\"\nsecretName = \"key\"\n{more}\
             [secrets]\nkey = \"{KEY}\"\n"
        ),
    );
    let key = ("key".parse().unwrap(), PathBuf::from(KEY));
    admitted.secrets.insert(key.0, key.1);
    admitted
}

fn token(source: TokenSource, value: &str, expires_at: Option<&str>) -> Wanted {
    Wanted {
        source,
        expires_at: expires_at.map(|text| text.parse().unwrap()),
        revoked: false,
        refresh: false,
        token: Secret::new(value.as_bytes().to_vec()),
    }
}

fn stored(value: &str) -> Wanted {
    token(TokenSource::TokenStore, value, Some("2027-01-01T00:00:00Z"))
}

fn none() -> Wanted {
    token(TokenSource::None, "", None)
}

fn revoked() -> Wanted {
    Wanted {
        revoked: true,
        ..stored("sk-revoked")
    }
}

fn directory() -> PathBuf {
    places::secrets("00000001".parse().unwrap())
}

/// The files there are, with what is in them.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![directory()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(directory()).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            found.push((name.to_string_lossy().into_owned(), text));
        }
    }
    found.sort();
    found
}

fn json(token: &str, expires: i64) -> String {
    format!(
        "{{\"claudeAiOauth\":{{\"accessToken\":\"{token}\",\"expiresAt\":{expires},\
         \"scopes\":[\"user:inference\"]}}}}\n"
    )
}

fn only(delivery: &Delivery) -> Delivered {
    let mut delivered = delivery.delivered();
    assert_eq!(delivered.len(), 1);
    delivered.remove(0)
}

#[test]
fn claude_code_has_its_file_in_a_directory_of_its_own() {
    let Some(()) = enter() else { return };
    let admitted = sandbox(None, FILE_AGENT);
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&stored("sk-one")).unwrap();
    let expires = 1_798_761_600_000;
    let one = (places::CREDENTIAL_FILE.to_owned(), json("sk-one", expires));
    assert_eq!(files(), [one]);
    let place = directory().join(places::CREDENTIAL_DIRECTORY);
    let meta = |path: &Path| {
        let meta = fs::metadata(path).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(meta(&place), (0, 0, 0o755));
    let agent = admitted.agent_uid();
    let file = directory().join(places::CREDENTIAL_FILE);
    assert_eq!(meta(&file), (agent, admitted.agent_gid(), 0o400));
    let first = only(&delivery);
    assert_eq!(
        (first.source.as_str(), first.generation, &first.variable),
        ("token-store", 1, &None)
    );

    // The same again changes nothing, not even the file.
    let inode = fs::metadata(&file).unwrap().ino();
    let change = delivery.bring(&stored("sk-one"));
    assert!(!change.told && change.failure.is_none());
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(only(&delivery), first);

    // Another expiry is another file with the same token.
    let later = token(TokenSource::TokenStore, "sk-one", None);
    assert!(delivery.bring(&later).told);
    let told = only(&delivery);
    assert_eq!((told.generation, told.expires_at), (2, None));
    assert_eq!(told.fingerprint, first.fingerprint);
    assert!(delivery.bring(&stored("sk-two")).told);
    assert_ne!(only(&delivery).fingerprint, first.fingerprint);

    // What is no token leaves the last one.
    let odd = delivery.bring(&stored("sk two"));
    let message = odd.failure.unwrap().message;
    assert!(message.contains("not one token") && !message.contains("sk two"));
    assert_eq!(files()[0].1, json("sk-two", expires));
    assert!(only(&delivery).stale.is_some());

    assert!(delivery.bring(&none()).told);
    assert!(files().is_empty() && place.is_dir());
    let told = only(&delivery);
    assert_eq!((told.source.as_str(), told.fingerprint), ("none", None));
    forage_shim::secrets::directory::remove(Path::new(places::SECRETS), admitted.id()).unwrap();
    assert!(!directory().exists());
}

#[test]
fn one_value_has_one_fingerprint() {
    let Some(()) = enter() else { return };
    let mut prints = Vec::new();
    fs::write(KEY, "sk-ant-oat01-x\n").unwrap();
    let secret = "secretName = \"key\"\nauthEnvVar = \"CLAUDE_CODE_OAUTH_TOKEN\"\n\
                  [secrets]\nkey = \"/mnt/key\"\n";
    for (agent, more) in [
        (ENV_AGENT, ""),
        (FILE_AGENT, ""),
        (ENV_AGENT, secret),
        (FILE_AGENT, secret),
    ] {
        let mut admitted = sandbox(None, &format!("{agent}{more}"));
        admitted.secrets.insert("key".parse().unwrap(), KEY.into());
        let mut delivery = Delivery::plan(&admitted);
        delivery.check().unwrap();
        delivery.start(&stored("sk-ant-oat01-x")).unwrap();
        prints.push(only(&delivery).fingerprint.unwrap());
    }
    prints.dedup();
    assert_eq!(prints.len(), 1, "{prints:?}");
    // The last one is a secret's file with a token in it; its expiry never changes.
    let there = (
        places::CREDENTIAL_FILE.to_owned(),
        json("sk-ant-oat01-x", 4_102_444_800_000),
    );
    assert_eq!(files(), [there]);
}

#[test]
fn what_the_daemon_wants_comes_about() {
    let Some(()) = enter() else { return };
    fs::write(KEY, "k1").unwrap();
    let admitted = with_secret(FILE_AGENT, "");
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&none()).unwrap();
    let login = |value: &str| token(TokenSource::HostLogin, value, None);
    let kept = |wanted: Wanted| Wanted {
        refresh: true,
        ..wanted
    };
    // What is wanted, the host's file before, then the files and source.
    let steps: Vec<(Wanted, &str, &[&str], &str)> = vec![
        (stored("sk-1"), "k1", &["sk-1", "k1"], "token-store"),
        // Only a refresh reads secrets' files again.
        (stored("sk-1"), "k2", &["sk-1", "k1"], "token-store"),
        (kept(stored("sk-1")), "k2", &["sk-1", "k2"], "token-store"),
        // A daemon that was restarted does not hold the host's login. It stays, if it is one.
        (login(""), "k2", &["k2"], "none"),
        (login("sk-h"), "k2", &["sk-h", "k2"], "host-login"),
        (login(""), "k2", &["sk-h", "k2"], "host-login"),
        (none(), "k2", &["k2"], "none"),
        (login("sk-h"), "k2", &["sk-h", "k2"], "host-login"),
        (revoked(), "k2", &[], "none"),
        (revoked(), "k3", &[], "none"),
        (login(""), "k3", &["k3"], "none"),
        (revoked(), "k3", &[], "none"),
        (stored("sk-2"), "k4", &["sk-2", "k4"], "token-store"),
    ];
    for (number, (wanted, key, expected, source)) in steps.into_iter().enumerate() {
        fs::write(KEY, key).unwrap();
        let change = delivery.bring(&wanted);
        assert!(change.failure.is_none(), "step {number}");
        let found: Vec<String> = files().into_iter().map(|(_, text)| text).collect();
        let as_expected =
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.contains(e));
        assert!(as_expected, "step {number}: {} files", found.len());
        let told = delivery.delivered();
        assert_eq!(told[0].source, source, "step {number}");
        assert!(told.iter().all(|one| one.revoked == wanted.revoked));
        assert!(!wanted.revoked || told.iter().all(|one| one.fingerprint.is_none()));
    }
}

#[test]
fn a_revoked_sandbox_starts_with_nothing_until_that_is_lifted() {
    let Some(()) = enter() else { return };
    let mut admitted = with_secret(ENV_AGENT, "");
    admitted.record.revoked_at = Some("2026-03-19T21:00:00Z".parse().unwrap());
    let mut delivery = Delivery::plan(&admitted);
    // The secret's file need not even be there.
    delivery.check().unwrap();
    delivery.start(&stored("sk-1")).unwrap();
    assert!(files().is_empty());
    assert!(delivery.delivered().iter().all(|one| one.revoked));
    fs::write(KEY, "k1").unwrap();
    let key = [("key".parse().unwrap())];
    assert!(!delivery.refresh(&key.into()).told && files().is_empty());
    let change = delivery.bring(&Wanted {
        refresh: true,
        ..stored("sk-1")
    });
    assert!(change.told && change.failure.is_none());
    assert_eq!(files().len(), 2);

    // A refresh that is faster than the start.
    let mut delivery = Delivery::plan(&admitted);
    delivery
        .start(&Wanted {
            refresh: true,
            ..stored("sk-1")
        })
        .unwrap();
    assert_eq!(files().len(), 2);
    // And a revocation that is.
    admitted.record.revoked_at = None;
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&revoked()).unwrap();
    assert!(files().is_empty() && delivery.delivered().iter().all(|one| one.revoked));
}

/// Lets nobody change what is in a directory, root neither; or lets them again.
fn set_immutable(path: &Path, immutable: bool) {
    let directory = openat(CWD, path, OFlags::RDONLY, Mode::empty()).unwrap();
    let mut flags = ioctl_getflags(&directory).unwrap();
    flags.set(IFlags::IMMUTABLE, immutable);
    ioctl_setflags(&directory, flags).unwrap();
}

#[test]
fn what_cannot_be_written_or_taken_away_is_tried_again() {
    let Some(()) = enter() else { return };
    fs::write(KEY, "k1").unwrap();
    let admitted = with_secret(FILE_AGENT, "");
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&stored("sk-1")).unwrap();
    assert_eq!(delivery.retry(), None);
    let place = directory().join(places::CREDENTIAL_DIRECTORY);
    set_immutable(&place, true);

    // The token cannot be taken away; the secret is.
    let change = delivery.bring(&revoked());
    assert!(
        change
            .failure
            .unwrap()
            .message
            .contains("take claude-credentials")
    );
    let told = delivery.delivered();
    assert!(!told[0].revoked && told[0].fingerprint.is_some() && told[0].stale.is_some());
    assert!(told[1].revoked && told[1].fingerprint.is_none());
    assert_eq!(files().len(), 1);
    let waits: Vec<u64> = (0..8)
        .map(|_| delivery.retry().unwrap().as_secs())
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    set_immutable(&place, false);
    assert!(delivery.refresh(&[].into()).told);
    assert!(files().is_empty() && delivery.retry().is_none());
    assert!(delivery.delivered().iter().all(|one| one.revoked));

    // The secret cannot be written; the token is.
    fs::write(KEY, "k2").unwrap();
    set_immutable(&directory(), true);
    let change = delivery.bring(&stored("sk-2"));
    assert!(change.failure.unwrap().message.contains("write key"));
    assert_eq!(files().len(), 1);
    assert_eq!(delivery.retry().unwrap().as_secs(), 1);
    set_immutable(&directory(), false);
    assert!(delivery.refresh(&[].into()).told);
    assert_eq!(files()[1], ("key".to_owned(), "k2".to_owned()));
    assert!(delivery.delivered().iter().all(|one| one.stale.is_none()));
}

#[test]
fn a_full_or_read_only_place_keeps_what_there_was() {
    let Some(()) = enter() else { return };
    let small = Detached::new(
        "tmpfs",
        &[("size", "16k"), ("mode", "0700")],
        MountAttrFlags::empty(),
    );
    small.unwrap().attach(Path::new(places::SECRETS)).unwrap();
    fs::write(KEY, "k1").unwrap();
    let admitted = with_secret(FILE_AGENT, "");
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&stored("sk-1")).unwrap();
    let before = files();
    fs::write(KEY, "x".repeat(20_000)).unwrap();
    let change = delivery.refresh(&[("key".parse().unwrap())].into());
    assert!(change.told && change.failure.unwrap().message.contains("no space left"));
    assert_eq!(files(), before);
    assert!(delivery.delivered()[1].stale.is_some());

    let read_only = MountFlags::RDONLY;
    mount_remount(places::SECRETS, read_only, "").unwrap();
    for wanted in [stored("sk-2"), revoked()] {
        let change = delivery.bring(&wanted);
        assert!(change.failure.unwrap().message.contains("read-only"));
        assert_eq!(files(), before);
        assert!(
            delivery
                .delivered()
                .iter()
                .all(|one| one.stale.is_some() && !one.revoked)
        );
    }
    mount_remount(places::SECRETS, MountFlags::empty(), "").unwrap();
    assert!(delivery.refresh(&[].into()).told);
    assert!(files().is_empty());
}

#[test]
fn a_secrets_file_that_goes_away_leaves_its_last_value() {
    let Some(()) = enter() else { return };
    fs::write(KEY, "k1").unwrap();
    let admitted = with_secret(FILE_AGENT, "");
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&none()).unwrap();
    let before = files();
    let key = || [("key".parse().unwrap())].into();
    let large = "x".repeat(1024 * 1024);
    for (content, why) in [
        (None, "does not exist"),
        (Some(""), "empty"),
        (Some(large.as_str()), "64 KiB"),
    ] {
        match content {
            Some(text) => fs::write(KEY, text).unwrap(),
            None => fs::remove_file(KEY).unwrap(),
        }
        assert!(delivery.refresh(&key()).told);
        // Said once.
        assert!(!delivery.refresh(&key()).told);
        assert!(
            delivery.delivered()[1]
                .stale
                .as_ref()
                .unwrap()
                .contains(why)
        );
        assert_eq!(files(), before);
        // It is not worth another try before it changes.
        assert_eq!(delivery.retry(), None);
    }
    fs::write(KEY, "k2").unwrap();
    fs::set_permissions(KEY, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(delivery.refresh(&key()).told);
    assert!(delivery.delivered()[1].stale.is_none());
}

#[test]
fn a_secrets_file_that_is_being_written_is_waited_for() {
    let Some(()) = enter() else { return };
    fs::write(KEY, "k1").unwrap();
    let admitted = with_secret(FILE_AGENT, "");
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&none()).unwrap();
    let before = files();
    let key = || [("key".parse().unwrap())].into();
    let mut writer = fs::File::create(KEY).unwrap();
    let mut write = |text: &str| io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    let stale = |delivery: &Delivery| delivery.delivered()[1].stale.clone();
    write("half");
    // It is nothing to speak of when it is done soon, however often somebody looks meanwhile.
    for _ in 0..9 {
        let change = delivery.refresh(&key());
        assert!(!change.told && change.failure.is_none());
    }
    // Then it is said, once.
    for told in [true, false, false] {
        assert!(delivery.retry().is_some());
        let change = delivery.refresh(&[].into());
        assert_eq!((change.told, change.failure), (told, None));
        assert_eq!(files(), before);
        assert_eq!(
            stale(&delivery).as_deref(),
            Some("somebody is writing its file")
        );
    }
    write(" and half");
    drop(writer);
    // Should nobody tell that it was closed.
    assert!(delivery.refresh(&[].into()).told);
    assert_eq!(files()[0].1, "half and half");
    assert_eq!((stale(&delivery), delivery.retry()), (None, None));
}

#[test]
fn a_secrets_file_that_is_never_closed_is_taken_as_it_is() {
    let Some(()) = enter() else { return };
    fs::write(KEY, "k1").unwrap();
    let admitted = with_secret(FILE_AGENT, "");
    let mut delivery = Delivery::plan(&admitted);
    delivery.start(&none()).unwrap();
    let key = || [("key".parse().unwrap())].into();
    let stale = |delivery: &Delivery| delivery.delivered()[1].stale.clone().unwrap();
    let mut writer = fs::File::create(KEY).unwrap();
    io::Write::write_all(&mut writer, b"k2").unwrap();
    assert!(!delivery.refresh(&key()).told);
    while files()[0].1 == "k1" {
        // It is tried less often each time, and never given up.
        assert!(delivery.retry().unwrap().as_secs() < 60, "it is not taken");
        delivery.refresh(&[].into());
    }
    assert_eq!(files()[0].1, "k2");
    assert!(stale(&delivery).contains("open for writing"));
    let generation = delivery.delivered()[1].generation;
    // What comes of it later arrives, too, and the warning stays until it is closed.
    io::Write::write_all(&mut writer, b"+").unwrap();
    for told in [true, false] {
        assert!(delivery.retry().is_some());
        assert_eq!(delivery.refresh(&[].into()).told, told);
        assert_eq!(files()[0].1, "k2+");
        assert!(stale(&delivery).contains("open for writing"));
        assert_eq!(delivery.delivered()[1].generation, generation + 1);
    }
    // Of no use is what is empty; what was there stays, and it is looked at further.
    writer.set_len(0).unwrap();
    assert!(delivery.refresh(&[].into()).told);
    assert!(stale(&delivery).contains("empty") && files()[0].1 == "k2+");
    drop(writer);
    fs::write(KEY, "k3").unwrap();
    assert!(delivery.refresh(&key()).told);
    assert_eq!(files()[0].1, "k3");
    assert_eq!(
        (&delivery.delivered()[1].stale, delivery.retry()),
        (&None, None)
    );
}
