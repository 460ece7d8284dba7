//! The core on a host in memory.

mod auth;
mod deadlines;
mod failures;
mod hanging;
mod host_login;
mod life;
mod races;
mod reconcile;
mod revoke;
mod settings;
mod tokens;

use std::sync::Arc;

use forage_api::bus::SandboxState;
use forage_api::ident::{SandboxId, SandboxName, Slot};
use forage_api::record::{Phase, SandboxRecord, VERSION};
use forage_api::{ErrorKind, Failure, Secret};

use super::fakes::FakeHost;
use super::ports::StoredToken;
use super::state::SandboxSpec;
use super::{Core, Progress, Started};

pub(super) const ALICE: u32 = 1000;
pub(super) const BOB: u32 = 1001;

pub(super) fn name(text: &str) -> SandboxName {
    text.parse().unwrap()
}

pub(super) fn spec(owner: u32, sandbox: &str) -> SandboxSpec {
    SandboxSpec {
        owner,
        name: name(sandbox),
        template: "claude".parse().unwrap(),
        repository: None,
    }
}

pub(super) async fn up(core: &Core, owner: u32, sandbox: &str) -> Result<Started, Failure> {
    core.create(spec(owner, sandbox), Progress::unseen()).await
}

pub(super) fn record(id: u32, phase: Phase) -> SandboxRecord {
    SandboxRecord {
        version: VERSION,
        id: SandboxId::new(id),
        owner: ALICE,
        slot: Slot::try_from(id).unwrap(),
        name: name(&format!("s{id}")),
        template: "claude".parse().unwrap(),
        repository: None,
        created_at: "2026-05-01T00:00:00Z".parse().unwrap(),
        phase,
        delete_workspace: false,
        revoked_at: None,
    }
}

pub(super) fn token(text: &str, host: &FakeHost, days: i64) -> StoredToken {
    let now = *host.now.lock().unwrap();
    StoredToken {
        token: Secret::new(text.as_bytes().to_vec()),
        created_at: now - jiff::SignedDuration::from_hours(24),
        expires_at: now + jiff::SignedDuration::from_hours(24 * days),
        uid: None,
    }
}

/// The state of a sandbox, once nothing is under way.
pub(super) async fn state(core: &Core, owner: u32, sandbox: &str) -> Option<SandboxState> {
    core.get(owner, name(sandbox))
        .await
        .ok()
        .map(|status| status.state)
}

/// Waits until a sandbox is in a state.
pub(super) async fn until(host: &Arc<FakeHost>, core: &Core, sandbox: &str, wanted: SandboxState) {
    for _ in 0..10_000 {
        if state(core, ALICE, sandbox).await == Some(wanted) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!(
        "never {wanted}: {:?} {:?}",
        state(core, ALICE, sandbox).await,
        host.log()
    );
}

pub(super) fn failure(kind: ErrorKind) -> Failure {
    Failure::new(kind, "because").hint("do this")
}

pub(super) async fn kind<T>(
    outcome: impl Future<Output = Result<T, Failure>>,
) -> Option<ErrorKind> {
    outcome.await.err().map(|failure| failure.kind)
}
