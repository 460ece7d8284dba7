//! Finding a sandbox's record, which the daemon wrote. It is believed only as far as it can be
//! checked against what root owns.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::record::{MAX_BYTES, RecordName, SandboxRecord};
use forage_api::{ErrorKind, Failure, places};
use rustix::fs::{Mode, OFlags, openat};

use crate::fail::cannot;

/// Reads the record of a sandbox; `daemon` is the uid that may have written it.
///
/// # Errors
/// There is none, it cannot be trusted or read, or another record claims its id or slot.
pub fn read(id: SandboxId, daemon: u32) -> Result<SandboxRecord, Failure> {
    read_in(Path::new(places::SANDBOXES), id, daemon)
}

fn read_in(directory: &Path, id: SandboxId, daemon: u32) -> Result<SandboxRecord, Failure> {
    let unreadable = |error| {
        cannot(
            ErrorKind::RecordUnreadable,
            "read the sandbox's record",
            error,
        )
    };
    let names = record_names(directory).map_err(unreadable)?;
    let name = only(&names, id)?;
    let folder = File::open(directory).map_err(unreadable)?;
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(&folder, name.file_name(), flags, Mode::empty())
        .map(File::from)
        .map_err(|error| unreadable(error.into()))?;
    let meta = file.metadata().map_err(unreadable)?;
    let judged = |why: &str| {
        Failure::new(
            ErrorKind::RecordUnreadable,
            format!("the sandbox's record cannot be used: {why}"),
        )
    };
    if !meta.is_file() {
        return Err(judged("it is not a regular file"));
    }
    if ![0, daemon].contains(&meta.uid()) {
        return Err(judged("it does not belong to the daemon"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(judged("it is too large"));
    }
    SandboxRecord::parse(name, &bytes).map_err(|error| judged(&error.to_string()))
}

/// What the file name of a sandbox's record says; for log lines only, since it is not checked.
pub fn name_of(id: SandboxId) -> Option<RecordName> {
    let names = record_names(Path::new(places::SANDBOXES)).ok()?;
    names.into_iter().find(|name| name.id == id)
}

/// Tells whether a sandbox surely has no record.
pub fn is_missing(id: SandboxId) -> bool {
    let names = record_names(Path::new(places::SANDBOXES));
    names.is_ok_and(|names| names.iter().all(|name| name.id != id))
}

fn record_names(directory: &Path) -> std::io::Result<Vec<RecordName>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.extend(entry?.file_name().to_str().and_then(RecordName::parse));
    }
    Ok(names)
}

/// The one name with this id, provided that no other claims its id or its slot.
fn only(names: &[RecordName], id: SandboxId) -> Result<&RecordName, Failure> {
    let name = names.iter().find(|name| name.id == id).ok_or_else(|| {
        Failure::new(
            ErrorKind::NoSuchSandbox,
            format!("there is no record of a sandbox {id}"),
        )
    })?;
    let claims = |other: &&RecordName| other.id == id || other.slot == name.slot;
    if names.iter().filter(claims).count() > 1 {
        return Err(Failure::new(
            ErrorKind::RecordUnreadable,
            format!("two records claim the id {id} or the place {}", name.slot),
        )
        .hint("look into /var/lib/firefly-forage/sandboxes and move one of the two away"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forage_api::ident::Slot;
    use forage_api::record::Phase;
    use std::fs;

    fn record(id: u32, slot: u32) -> SandboxRecord {
        SandboxRecord {
            version: 1,
            id: SandboxId::new(id),
            owner: 1000,
            slot: Slot::try_from(slot).unwrap(),
            name: "s1".parse().unwrap(),
            template: "claude".parse().unwrap(),
            repository: None,
            created_at: "2026-03-19T21:00:00Z".parse().unwrap(),
            phase: Phase::Created,
            delete_workspace: false,
            revoked_at: None,
        }
    }

    fn put(directory: &Path, record: &SandboxRecord) -> std::path::PathBuf {
        let path = directory.join(record.record_name().file_name());
        fs::write(&path, record.to_bytes().unwrap()).unwrap();
        path
    }

    fn kind(directory: &Path, id: u32) -> ErrorKind {
        let daemon = nix::unistd::getuid().as_raw();
        read_in(directory, SandboxId::new(id), daemon)
            .unwrap_err()
            .kind
    }

    #[test]
    fn a_record_is_found_by_its_id_alone() {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), &record(1, 1));
        put(directory.path(), &record(2, 2));
        fs::write(directory.path().join(".lock"), "").unwrap();
        let daemon = nix::unistd::getuid().as_raw();
        let found = read_in(directory.path(), SandboxId::new(2), daemon).unwrap();
        assert_eq!(found, record(2, 2));
        assert_eq!(kind(directory.path(), 3), ErrorKind::NoSuchSandbox);
    }

    #[test]
    fn two_claims_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), &record(1, 1));
        put(directory.path(), &record(2, 1));
        assert_eq!(kind(directory.path(), 1), ErrorKind::RecordUnreadable);
    }

    #[test]
    fn links_directories_and_garbage_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = put(directory.path(), &record(1, 1));
        for prepare in [
            |path: &Path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap(),
            |path: &Path| fs::create_dir(path).unwrap(),
            |path: &Path| fs::write(path, vec![b' '; 70_000]).unwrap(),
            |path: &Path| fs::write(path, "{").unwrap(),
            |path: &Path| {
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    path,
                    rustix::fs::FileType::Fifo,
                    Mode::from_raw_mode(0o600),
                    0,
                )
                .unwrap();
            },
        ] {
            fs::remove_file(&path)
                .or_else(|_| fs::remove_dir(&path))
                .unwrap();
            prepare(&path);
            assert_eq!(kind(directory.path(), 1), ErrorKind::RecordUnreadable);
        }
    }
}
