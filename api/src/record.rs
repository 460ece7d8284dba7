//! A sandbox's record on disk: `sandboxes/<id>.<uid>.<slot>.<name>.json`. The daemon writes it, the
//! shim reads it. The file name alone reserves id, owner, slot and name, should the content be
//! unreadable.

use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ident::{SandboxId, SandboxName, Slot, TemplateName};

/// The version this program writes. Version 1: the first. Version 2: `revokedAt`.
pub const VERSION: u32 = 2;
/// The largest record that is read, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;

/// What a record's file name says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordName {
    /// The sandbox's id.
    pub id: SandboxId,
    /// The uid that owns the sandbox.
    pub owner: u32,
    /// The sandbox's place in the window of uids.
    pub slot: Slot,
    /// The name its owner gave it.
    pub name: SandboxName,
}

impl RecordName {
    /// The file name.
    pub fn file_name(&self) -> String {
        format!(
            "{}.{}.{}.{}.json",
            self.id, self.owner, self.slot, self.name
        )
    }

    /// Reads a file name; `None` where it is not a record's.
    pub fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".json")?.splitn(4, '.');
        let id = parts.next()?.parse().ok()?;
        let owner = parts.next()?.parse().ok()?;
        let slot = Slot::try_from(parts.next()?.parse::<u32>().ok()?).ok()?;
        let name = SandboxName::from_str(parts.next()?).ok()?;
        let parsed = Self {
            id,
            owner,
            slot,
            name,
        };
        (parsed.file_name() == file_name).then_some(parsed)
    }
}

/// How far a sandbox's life has got. Written before the step it announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The first start is under way; its caller has no answer yet.
    Creating,
    /// The sandbox exists.
    Created,
    /// The sandbox is being removed.
    Removing,
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxRecord {
    /// The format's version.
    pub version: u32,
    /// The sandbox's id; equal to the file name's.
    pub id: SandboxId,
    /// The uid that owns the sandbox; equal to the file name's.
    pub owner: u32,
    /// The sandbox's place in the window of uids; equal to the file name's.
    pub slot: Slot,
    /// The sandbox's name; equal to the file name's.
    pub name: SandboxName,
    /// The template it is made from.
    pub template: TemplateName,
    /// The directory to work on, an absolute path; `None` for a workspace of the sandbox's own.
    pub repository: Option<PathBuf>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How far its life has got.
    pub phase: Phase,
    /// Whether removal also deletes the files in a workspace of its own.
    #[serde(default)]
    pub delete_workspace: bool,
    /// Since when the sandbox gets no credential, at any start, until its owner asks for it again.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It was written by a newer program.
    #[error("its format is {0}, newer than {VERSION}")]
    Newer(u32),
    /// It is damaged.
    #[error("it is damaged")]
    Damaged,
    /// Content and file name disagree.
    #[error("its content belongs to another file name")]
    Mismatch,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl SandboxRecord {
    /// Reads a record that lies under `file_name`.
    pub fn parse(file_name: &RecordName, bytes: &[u8]) -> Result<Self, RecordError> {
        let VersionOnly { version } =
            serde_json::from_slice(bytes).map_err(|_| RecordError::Damaged)?;
        if version > VERSION {
            return Err(RecordError::Newer(version));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(|_| RecordError::Damaged)?;
        if record.version == 0 || record.record_name() != *file_name {
            return Err(RecordError::Mismatch);
        }
        Ok(record)
    }

    /// The record as it is written.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The name of the record's file.
    pub fn record_name(&self) -> RecordName {
        RecordName {
            id: self.id,
            owner: self.owner,
            slot: self.slot,
            name: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SandboxRecord {
        SandboxRecord {
            version: VERSION,
            id: SandboxId::new(0xabc),
            owner: 1000,
            slot: Slot::try_from(3).unwrap(),
            name: "s1".parse().unwrap(),
            template: "claude".parse().unwrap(),
            repository: Some("/home/alice/a: \\ \n".into()),
            created_at: "2026-03-19T21:00:00Z".parse().unwrap(),
            phase: Phase::Created,
            delete_workspace: false,
            revoked_at: None,
        }
    }

    #[test]
    fn round_trip() {
        let record = record();
        let name = record.record_name();
        assert_eq!(name.file_name(), "00000abc.1000.3.s1.json");
        assert_eq!(RecordName::parse(&name.file_name()), Some(name.clone()));
        assert_eq!(
            SandboxRecord::parse(&name, &record.to_bytes().unwrap()),
            Ok(record)
        );
    }

    #[test]
    fn every_prefix_is_damaged_and_nothing_panics() {
        let record = record();
        let bytes = record.to_bytes().unwrap();
        for end in 0..bytes.len() - 2 {
            assert_eq!(
                SandboxRecord::parse(&record.record_name(), &bytes[..end]),
                Err(RecordError::Damaged)
            );
        }
    }

    #[test]
    fn newer_and_foreign_records() {
        let record = record();
        let name = record.record_name();
        assert_eq!(
            SandboxRecord::parse(&name, br#"{"version":999,"shape":"unknown"}"#),
            Err(RecordError::Newer(999))
        );
        let other = RecordName {
            owner: 1001,
            ..name
        };
        assert_eq!(
            SandboxRecord::parse(&other, &record.to_bytes().unwrap()),
            Err(RecordError::Mismatch)
        );
    }

    #[test]
    fn foreign_file_names() {
        for bad in [
            "",
            ".lock",
            "x.json",
            "00000abc.1000.3.s1",
            "00000abc.1000.3.s1.json.tmp",
            "00000abc.+1000.3.s1.json",
            "00000abc.01000.3.s1.json",
            "00000ABC.1000.3.s1.json",
            "00000abc.1000.99999.s1.json",
            "00000abc.1000.3.S1.json",
            "00000abc.1000.3..json",
        ] {
            assert_eq!(RecordName::parse(bad), None, "{bad}");
        }
    }
}
