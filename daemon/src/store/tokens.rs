//! The token store: `claude-oauth.json` of the configured user, `<uid>/claude-oauth.json` of others.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use forage_api::{ErrorKind, Failure, Secret};
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::atomic;
use super::disk::Disk;
use super::error::StoreError;
use crate::core::{StoredToken, TokenEntry, TokenFiles, TokenPlace};

const FILE: &str = "claude-oauth.json";
/// The largest entry that is read.
const MAX_BYTES: usize = 32 * 1024;

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
        atomic::sweep(&directory)?;
        let failed = |error| StoreError::new("read", &directory, error);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                atomic::sweep(&entry.path())?;
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
    async fn read(&self, place: TokenPlace) -> TokenEntry {
        let path = self.path(place);
        self.disk
            .run(move || read(&path))
            .await
            .unwrap_or_else(|failure| TokenEntry::Damaged(failure.message))
    }

    async fn write(&self, place: TokenPlace, token: StoredToken) -> Result<(), Failure> {
        let path = self.path(place);
        let write = move || {
            let bytes = encode(&token)?;
            make_directory(&path)?;
            atomic::replace(&path, &bytes)?;
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

fn encode(stored: &StoredToken) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let broken = || Failure::new(ErrorKind::Internal, "the token cannot be written as text");
    let token = std::str::from_utf8(stored.token.expose()).map_err(|_| broken())?;
    let entry = TokenFileOut {
        token,
        created_at: stored.created_at,
        expires_at: stored.expires_at,
        uid: stored.uid,
    };
    // Room for all of it, so that the buffer never moves and leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * token.len() + 512));
    serde_json::to_writer_pretty(&mut *bytes, &entry).map_err(|_| broken())?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn read(path: &Path) -> TokenEntry {
    let bytes = match read_bytes(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return TokenEntry::Damaged("it is not a regular file".into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return TokenEntry::Missing,
        Err(error) => return TokenEntry::Damaged(format!("it cannot be read: {}", error.kind())),
    };
    match bytes.len() {
        0 => return TokenEntry::Damaged("its file is empty".into()),
        length if length > MAX_BYTES => {
            return TokenEntry::Damaged("its file is too large".into());
        }
        _ => {}
    }
    decode(&bytes).unwrap_or_else(|| TokenEntry::Damaged("its file is damaged".into()))
}

fn decode(bytes: &[u8]) -> Option<TokenEntry> {
    let entry: TokenFileIn<'_> = serde_json::from_slice(bytes).ok()?;
    // What is not plain text was not written by us, and could forge lines where it is delivered.
    let plain = entry.token.bytes().all(|c| c.is_ascii_graphic());
    if entry.token.is_empty() || !plain {
        return None;
    }
    if entry.expires_at <= entry.created_at {
        return Some(TokenEntry::Damaged("its dates make no sense".into()));
    }
    Some(TokenEntry::Stored(StoredToken {
        token: Secret::new(entry.token.as_bytes().to_vec()),
        created_at: entry.created_at,
        expires_at: entry.expires_at,
        uid: entry.uid,
    }))
}

fn read_bytes(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 64));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn stored() -> StoredToken {
        StoredToken {
            token: Secret::new(b"sk-ant-oat01-CANARY".to_vec()),
            created_at: "2026-03-19T21:00:00Z".parse().unwrap(),
            expires_at: "2027-03-19T21:00:00Z".parse().unwrap(),
            uid: Some(1000),
        }
    }

    fn damaged(entry: TokenEntry) -> String {
        match entry {
            TokenEntry::Damaged(why) => why,
            TokenEntry::Missing => panic!("missing"),
            TokenEntry::Stored(_) => panic!("stored"),
        }
    }

    #[tokio::test]
    async fn the_documented_form() {
        let directory = tempfile::tempdir().unwrap();
        let store = TokenDirectory::open(directory.path(), Disk::start().unwrap()).unwrap();
        for (place, path) in [
            (TokenPlace::User, "claude-oauth.json"),
            (TokenPlace::Member(1001), "1001/claude-oauth.json"),
        ] {
            assert!(matches!(store.read(place).await, TokenEntry::Missing));
            store.write(place, stored()).await.unwrap();
            let path = directory.path().join(path);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            let text = fs::read_to_string(&path).unwrap();
            let expected = "{\n  \"token\": \"sk-ant-oat01-CANARY\",\n  \"createdAt\": \
                            \"2026-03-19T21:00:00Z\",\n  \"expiresAt\": \"2027-03-19T21:00:00Z\",\n  \
                            \"uid\": 1000\n}\n";
            assert_eq!(text, expected);
            let TokenEntry::Stored(read) = store.read(place).await else {
                panic!("not stored");
            };
            assert_eq!(read.token.expose(), stored().token.expose());
            assert_eq!(read.uid, Some(1000));
            assert!(store.delete(place).await.unwrap());
            assert!(!store.delete(place).await.unwrap());
        }
        let mode = fs::metadata(directory.path().join("1001")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }

    #[test]
    fn the_form_without_an_owner() {
        let text = br#"{"token":"sk-ant-x","createdAt":"2026-03-19T21:00:00Z",
            "expiresAt":"2027-03-19T21:00:00Z","note":"of another program"}"#;
        let Some(TokenEntry::Stored(read)) = decode(text) else {
            panic!("not stored");
        };
        assert_eq!(read.uid, None);
    }

    #[test]
    fn damage_is_told_without_content_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let whole = encode(&stored()).unwrap();
        let mut contents: Vec<Vec<u8>> = (0..whole.len() - 2)
            .map(|end| whole[..end].to_vec())
            .collect();
        contents.push(vec![b'x'; 1 << 20]);
        for dates in [
            r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"soon""#,
            r#""createdAt":"2026-03-19T21:00:00Z""#,
            r#""createdAt":"2027-03-19T21:00:00Z","expiresAt":"2026-03-19T21:00:00Z""#,
            r#""createdAt":0,"expiresAt":1"#,
        ] {
            contents.push(format!(r#"{{"token":"sk-ant-oat01-CANARY",{dates}}}"#).into());
        }
        let dates = r#""createdAt":"2026-03-19T21:00:00Z","expiresAt":"2027-03-19T21:00:00Z""#;
        for token in ["\"\"", "\"a b\"", "\"a\\nb\"", "7", "null"] {
            contents.push(format!(r#"{{"token":{token},{dates}}}"#).into());
        }
        for content in contents {
            fs::write(&path, &content).unwrap();
            let why = damaged(read(&path));
            assert!(!why.contains("CANARY"), "{why}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }
}
