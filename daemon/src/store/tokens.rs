//! The token store: `claude-oauth.json` of the configured user, `<uid>/claude-oauth.json` of others.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use forage_api::{ErrorKind, Failure, Secret};
use jiff::{SignedDuration, Timestamp};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::atomic;
use super::disk::Disk;
use super::error::StoreError;
use crate::core::{StoredToken, TokenEntry, TokenFiles, TokenPlace};

const FILE: &str = "claude-oauth.json";
/// The largest entry that is read.
const MAX_BYTES: usize = 32 * 1024;
/// Tokens last a year. What is to last longer than this is a slip, and would never be warned about.
const LONGEST: SignedDuration = SignedDuration::from_hours(10 * 366 * 24);
/// More than an entry has that nobody made longer.
const LIKELY_BYTES: usize = 2047;

/// The directory of the token store.
#[derive(Debug, Clone)]
pub(crate) struct TokenDirectory {
    directory: PathBuf,
    disk: Disk,
}

/// An entry as it is written. It borrows the token, so serialising makes no copy but the file's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenFileOut<'a> {
    token: &'a str,
    created_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
}

/// An entry as it is read. It borrows from the buffer, which is wiped. Keys that other programs add
/// are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenFileIn<'a> {
    token: &'a str,
    created_at: Timestamp,
    expires_at: Timestamp,
    uid: Option<u32>,
}

impl TokenDirectory {
    /// Uses a directory that exists, and removes what a crash left in it.
    pub(crate) fn open(directory: impl Into<PathBuf>, disk: Disk) -> Result<Self, StoreError> {
        let directory = directory.into();
        atomic::sweep_or_warn(&directory);
        let failed = |error| StoreError::new("read", &directory, error);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Only directories this store makes; others may not even be readable.
            let member = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Some(uid) = member.filter(|_| is_directory) {
                leftovers(uid, &entry.path());
            }
        }
        Ok(Self { directory, disk })
    }

    fn path(&self, place: TokenPlace) -> PathBuf {
        match place {
            TokenPlace::User => self.directory.join(FILE),
            TokenPlace::Member(uid) => self.directory.join(uid.to_string()).join(FILE),
        }
    }
}

#[async_trait]
impl TokenFiles for TokenDirectory {
    async fn read(&self, place: TokenPlace) -> Result<TokenEntry, Failure> {
        let path = self.path(place);
        Ok(self.disk.run(move || read(&path)).await??)
    }

    async fn write(&self, place: TokenPlace, token: StoredToken) -> Result<(), Failure> {
        let path = self.path(place);
        let write = move || {
            let bytes = encode(&token)?;
            make_directory(&path)?;
            atomic::replace(&path, bytes.expose())?;
            sweep_beside(&path);
            Ok(())
        };
        self.disk.run(write).await?
    }

    async fn delete(&self, place: TokenPlace) -> Result<bool, Failure> {
        let path = self.path(place);
        let delete = move || {
            let deleted = atomic::delete(&path)?;
            sweep_beside(&path);
            Ok::<_, StoreError>(deleted)
        };
        Ok(self.disk.run(delete).await??)
    }
}

/// Removes what a crash left of a member's entry. One member's directory keeps nobody from working.
fn leftovers(uid: u32, directory: &Path) {
    if let Err(error) = atomic::sweep(directory) {
        tracing::warn!(
            FORAGE_EVENT = "token-leftovers",
            FORAGE_UID = uid,
            "an older token may be left: {error}"
        );
    }
}

/// Removes an older token that could not be removed when it was replaced. Nothing is said if it still
/// cannot: what was asked for is done, and the next start tries again.
fn sweep_beside(path: &Path) {
    let _swept = path.parent().map(atomic::sweep);
}

/// Makes the directory of another member's entry, durably.
fn make_directory(path: &Path) -> Result<(), StoreError> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let failed = |error| StoreError::new("make", directory, error);
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {
            let parent = directory.parent().unwrap_or(directory);
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn encode(stored: &StoredToken) -> Result<Secret, Failure> {
    let broken = || Failure::new(ErrorKind::Internal, "the token cannot be written as text");
    let token = std::str::from_utf8(stored.token.expose()).map_err(|_| broken())?;
    let entry = TokenFileOut {
        token,
        created_at: stored.created_at,
        expires_at: stored.expires_at,
        uid: stored.uid,
    };
    let room = 2 * token.len() + 512;
    Secret::filled(room, |mut rest| {
        serde_json::to_writer_pretty(&mut rest, &entry).map_err(|_| broken())?;
        rest.write_all(b"\n").map_err(|_| broken())?;
        Ok(room - rest.len())
    })
}

fn read(path: &Path) -> Result<TokenEntry, StoreError> {
    let damaged = |why: &str| Ok(TokenEntry::Damaged(why.into()));
    let content = match content_of(path) {
        Ok(Some(content)) => content,
        Ok(None) => return damaged("it is not a regular file"),
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => return Ok(TokenEntry::Missing),
            // A symlink, a socket, or a file in the place of the directory: no later look changes that.
            Some(Errno::LOOP | Errno::NXIO | Errno::NOTDIR) => {
                return damaged("it is not a regular file");
            }
            _ => return Err(StoreError::new("read", path, error)),
        },
    };
    match content.expose().len() {
        0 => damaged("its file is empty"),
        length if length > MAX_BYTES => damaged("its file is too large"),
        _ => decode(content.expose()).map_or_else(|| damaged("its file is damaged"), Ok),
    }
}

/// Nothing of the content is copied: what is borrowed has no escapes, and an error may quote a value
/// where there is no object.
fn decode(bytes: &[u8]) -> Option<TokenEntry> {
    if bytes.contains(&b'\\') || bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let entry: TokenFileIn<'_> = serde_json::from_slice(bytes).ok()?;
    // What is not plain text was not written by us, and could forge lines where it is delivered.
    let plain = entry.token.bytes().all(|c| c.is_ascii_graphic());
    if entry.token.is_empty() || !plain {
        return None;
    }
    let lasts = entry.expires_at.duration_since(entry.created_at);
    if lasts <= SignedDuration::ZERO || lasts > LONGEST {
        return Some(TokenEntry::Damaged("its dates make no sense".into()));
    }
    Some(TokenEntry::Stored(StoredToken {
        token: Secret::joined(&[entry.token.as_bytes()]),
        created_at: entry.created_at,
        expires_at: entry.expires_at,
        uid: entry.uid,
    }))
}

fn content_of(path: &Path) -> io::Result<Option<Secret>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(None);
    }
    // Entries are short; room for the longest would have to be cleared, and locked, each time.
    let room = usize::try_from(about.len()).unwrap_or(MAX_BYTES);
    Secret::read(file, room.clamp(LIKELY_BYTES, MAX_BYTES) + 1).map(Some)
}

#[cfg(test)]
mod tests;
