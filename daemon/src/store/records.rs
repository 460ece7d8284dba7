//! The records of the sandboxes, one file each.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use forage_api::record::{MAX_BYTES, RecordName, SandboxRecord};
use forage_api::{ErrorKind, Failure, ident};
use rustix::fs::OFlags;

use super::atomic;
use super::disk::Disk;
use super::error::StoreError;
use crate::core::{LoadedRecord, Records};

/// The directory of the records.
#[derive(Debug, Clone)]
pub(crate) struct RecordFiles {
    directory: PathBuf,
    disk: Disk,
}

impl RecordFiles {
    /// Uses a directory that exists.
    pub(crate) fn new(directory: impl Into<PathBuf>, disk: Disk) -> Self {
        Self {
            directory: directory.into(),
            disk,
        }
    }

    fn path(&self, name: &RecordName) -> PathBuf {
        self.directory.join(name.file_name())
    }

    fn load_all(&self) -> Result<Vec<LoadedRecord>, StoreError> {
        atomic::sweep_or_warn(&self.directory);
        let failed = |error| StoreError::new("read", &self.directory, error);
        let mut loaded = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(RecordName::parse) else {
                if file_name != ".lock" {
                    tracing::warn!(
                        FORAGE_EVENT = "foreign-file",
                        "{} in {} is not a record, leaving it alone",
                        ident::quoted(&file_name.to_string_lossy()),
                        self.directory.display(),
                    );
                }
                continue;
            };
            let content = read(&entry.path(), &name);
            if let Err(why) = &content {
                tracing::warn!(
                    FORAGE_EVENT = "unreadable",
                    FORAGE_SANDBOX = name.name.as_str(),
                    FORAGE_ID = %name.id,
                    FORAGE_UID = name.owner,
                    "record {} cannot be used: {why}, leaving it alone",
                    name.file_name(),
                );
            }
            loaded.push(LoadedRecord { name, content });
        }
        Ok(loaded)
    }
}

fn read(path: &Path, name: &RecordName) -> Result<SandboxRecord, String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let open = || {
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    let bytes = open()
        .map_err(|error: std::io::Error| format!("it cannot be read: {error}"))?
        .ok_or("it is not a regular file")?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is too large".into());
    }
    SandboxRecord::parse(name, &bytes).map_err(|error| error.to_string())
}

#[async_trait]
impl Records for RecordFiles {
    async fn load(&self) -> Result<Vec<LoadedRecord>, Failure> {
        let this = self.clone();
        Ok(self.disk.run(move || this.load_all()).await??)
    }

    async fn write(&self, record: &SandboxRecord) -> Result<(), Failure> {
        let path = self.path(&record.record_name());
        let bytes = record.to_bytes().map_err(|_| {
            Failure::new(ErrorKind::InvalidRepository, "the path cannot be recorded")
        })?;
        Ok(self
            .disk
            .run(move || atomic::replace(&path, &bytes))
            .await??)
    }

    async fn delete(&self, name: &RecordName) -> Result<(), Failure> {
        let path = self.path(name);
        self.disk.run(move || atomic::delete(&path)).await??;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use forage_api::ident::{SandboxId, Slot};
    use forage_api::record::{Phase, VERSION};

    use super::*;

    fn record() -> SandboxRecord {
        SandboxRecord {
            version: VERSION,
            id: SandboxId::new(7),
            owner: 1000,
            slot: Slot::try_from(3).unwrap(),
            name: "s1".parse().unwrap(),
            template: "claude".parse().unwrap(),
            repository: None,
            created_at: "2026-06-01T00:00:00Z".parse().unwrap(),
            phase: Phase::Created,
            delete_workspace: false,
            revoked_at: None,
        }
    }

    #[tokio::test]
    async fn what_is_written_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let files = RecordFiles::new(directory.path(), Disk::start().unwrap());
        files.write(&record()).await.unwrap();
        let loaded = files.load().await.unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].content, Ok(record()));
        files.delete(&record().record_name()).await.unwrap();
        files.delete(&record().record_name()).await.unwrap();
        assert!(files.load().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_used_reserves_its_name_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let files = RecordFiles::new(directory.path(), Disk::start().unwrap());
        let name = record().record_name();
        let path = directory.path().join(name.file_name());
        let whole = record().to_bytes().unwrap();
        let mut contents: Vec<Vec<u8>> = (0..whole.len() - 2)
            .map(|end| whole[..end].to_vec())
            .collect();
        contents.push(br#"{"version": 999}"#.to_vec());
        contents.push(vec![b' '; 1 << 20]);
        contents.push(vec![0; 64]);
        contents.push(b"\xff\xfe".to_vec());
        for content in contents {
            fs::write(&path, &content).unwrap();
            let loaded = files.load().await.unwrap();
            assert_eq!(loaded[0].name, name);
            assert!(loaded[0].content.is_err());
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[tokio::test]
    async fn strange_things_in_the_place_of_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let files = RecordFiles::new(directory.path(), Disk::start().unwrap());
        let path = directory.path().join(record().record_name().file_name());
        fs::create_dir(&path).unwrap();
        assert!(files.load().await.unwrap()[0].content.is_err());
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(files.load().await.unwrap()[0].content.is_err());
        fs::write(directory.path().join("notes.txt"), "mine").unwrap();
        assert_eq!(files.load().await.unwrap().len(), 1);
        assert!(directory.path().join("notes.txt").exists());
    }
}
