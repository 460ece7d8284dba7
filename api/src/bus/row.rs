//! A sandbox as one row of a list. A thousand dictionaries of variants take three times as long to
//! write, check and read as a thousand rows, so `List` answers rows; what few sandboxes have is in a
//! dictionary at the end, which can also grow.

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, SerializeDict, Type};

use super::info::{CredentialInfo, SandboxInfo};
use crate::places;

/// A row of `Manager.List`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SandboxRow {
    /// The id, 8 hex digits.
    pub id: String,
    /// The name, unique per owner.
    pub name: String,
    /// The uid that owns it.
    pub owner: u32,
    /// The template; empty where the record is unreadable.
    pub template: String,
    /// A [`SandboxState`](super::SandboxState) as text.
    pub state: String,
    /// The directory it works on; empty for a workspace of its own.
    pub repository: String,
    /// When it was created, RFC 3339 in UTC; empty where the record is unreadable.
    pub created_at: String,
    /// The host uid that is root in it; it has 65536 uids from there.
    pub uid_base: u32,
    /// The rest.
    pub more: RowMore,
}

/// What few sandboxes have.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "dict", rename_all = "camelCase")]
pub struct RowMore {
    /// What its agents were given, where it runs.
    pub credentials: Option<Vec<CredentialInfo>>,
    /// Since when its credentials are revoked, where they are.
    pub revoked_at: Option<String>,
    /// Why it failed or is unreadable.
    pub failure: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
}

impl From<SandboxInfo> for SandboxRow {
    fn from(info: SandboxInfo) -> Self {
        let credentials = Some(info.credentials).filter(|list| !list.is_empty());
        Self {
            id: info.id,
            name: info.name,
            owner: info.owner,
            template: info.template,
            state: info.state,
            repository: info.repository.unwrap_or_default(),
            created_at: info.created_at,
            uid_base: info.uid_base,
            more: RowMore {
                credentials,
                revoked_at: info.revoked_at,
                failure: info.failure,
                hint: info.hint,
            },
        }
    }
}

impl From<SandboxRow> for SandboxInfo {
    fn from(row: SandboxRow) -> Self {
        let repository = Some(row.repository).filter(|path| !path.is_empty());
        let own = || row.id.parse().map(places::workspace).unwrap_or_default();
        let workspace = repository
            .clone()
            .unwrap_or_else(|| own().to_string_lossy().into_owned());
        Self {
            workspace,
            repository,
            id: row.id,
            name: row.name,
            owner: row.owner,
            template: row.template,
            state: row.state,
            created_at: row.created_at,
            uid_base: row.uid_base,
            credentials: row.more.credentials.unwrap_or_default(),
            revoked_at: row.more.revoked_at,
            failure: row.more.failure,
            hint: row.more.hint,
            // Only `Get` tells the rest.
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_loses_nothing() {
        let mut info = SandboxInfo {
            id: "00000abc".into(),
            name: "s1".into(),
            owner: 1000,
            template: "claude".into(),
            state: "running".into(),
            repository: None,
            workspace: "/var/lib/firefly-forage/workspaces/00000abc".into(),
            created_at: "2026-03-19T21:00:00Z".into(),
            uid_base: 0x7000_0000,
            credentials: Vec::new(),
            ..SandboxInfo::default()
        };
        assert_eq!(SandboxInfo::from(SandboxRow::from(info.clone())), info);
        info.repository = Some("/home/alice/repo".into());
        info.workspace = "/home/alice/repo".into();
        info.revoked_at = Some("2026-03-20T21:00:00Z".into());
        info.failure = Some("killed".into());
        assert_eq!(SandboxInfo::from(SandboxRow::from(info.clone())), info);
    }
}
