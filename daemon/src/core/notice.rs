//! What those hear who listen.

use forage_api::bus::SandboxState;
use forage_api::shim::control::Delivered;

/// Something subscribers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// What is seen of a sandbox has changed, its state or something else, or it is gone.
    Sandbox(Change),
    /// What an agent is given has changed.
    Rotated {
        owner: u32,
        name: String,
        credential: Delivered,
    },
    /// What an agent is given expires within so many days, or has expired.
    Expiring {
        owner: u32,
        name: String,
        credential: Delivered,
        days_left: i64,
    },
    /// A sandbox's credentials were revoked.
    Revoked {
        owner: u32,
        name: String,
        held: Vec<Delivered>,
    },
}

/// The state a sandbox is in after a change, if it is not gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) owner: u32,
    pub(crate) name: String,
    pub(crate) state: Option<SandboxState>,
}

impl Notice {
    /// Whose sandbox it is about.
    pub(crate) const fn owner(&self) -> u32 {
        match self {
            Self::Sandbox(change) => change.owner,
            Self::Rotated { owner, .. }
            | Self::Expiring { owner, .. }
            | Self::Revoked { owner, .. } => *owner,
        }
    }
}
