//! Reaching shims and reading their reports, as files appear.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use forage_api::Failure;
use forage_api::ident::SandboxId;
use forage_api::places;
use forage_api::shim::report::Report;
use tokio::time::{Instant, timeout_at};

use super::inbox::Arrivals;
use super::{logs, reports, shim};
use crate::blocking::blocking;
use crate::core::{Link, Shims, silent};

/// How long a shim may take to say where it stands.
const HELLO_WAIT: Duration = Duration::from_secs(5);

/// The shims behind their sockets.
#[derive(Debug)]
pub(crate) struct SocketShims {
    arrivals: Arrivals,
}

impl SocketShims {
    /// Looks again each time something arrives.
    pub(crate) const fn new(arrivals: Arrivals) -> Self {
        Self { arrivals }
    }
}

#[async_trait]
impl Shims for SocketShims {
    async fn connect(&self, id: SandboxId, wait: Duration) -> Result<Link, Failure> {
        let mut arrivals = self.arrivals.clone();
        let deadline = Instant::now() + wait;
        loop {
            arrivals.mark_unchanged();
            // A socket nobody listens on any more is one of an earlier run: wait for the new one.
            if let Ok(stream) = shim::connect(&places::shim_socket(id)).await {
                let hello = timeout_at(
                    deadline.max(Instant::now() + HELLO_WAIT),
                    shim::open(stream, id),
                );
                return hello.await.unwrap_or_else(|_| Err(silent()));
            }
            if !matches!(timeout_at(deadline, arrivals.changed()).await, Ok(Ok(()))) {
                return Err(silent());
            }
        }
    }

    async fn report(&self, id: SandboxId, since: u64, wait: Duration) -> Option<Report> {
        let mut arrivals = self.arrivals.clone();
        let deadline = Instant::now() + wait;
        let path = places::result(id);
        loop {
            arrivals.mark_unchanged();
            // A small file on a tmpfs: reading it here is quicker than handing it to a thread.
            if let Some(report) = reports::read(&path, since) {
                return Some(report);
            }
            if !matches!(timeout_at(deadline, arrivals.changed()).await, Ok(Ok(()))) {
                return None;
            }
        }
    }
    async fn log(&self, id: SandboxId) -> Result<Vec<OwnedFd>, Failure> {
        blocking(move || logs::open(Path::new(places::LOGS), id)).await?
    }
}
