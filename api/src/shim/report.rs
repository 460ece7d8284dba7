//! `result/<id>`: what a shim reports about the last start, run or removal of a sandbox. The daemon
//! may only read it.

use serde::{Deserialize, Serialize};

use crate::Failure;

/// The largest report that is read, in bytes.
pub const MAX_BYTES: u64 = 16 * 1024;

/// The content of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Nanoseconds of `CLOCK_BOOTTIME` when it was written: a report older than the request it
    /// should answer belongs to an earlier one.
    pub boot_time_ns: u64,
    /// What happened.
    pub outcome: Outcome,
}

/// How a start, a run or a removal ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The start was refused before anything was changed.
    Refused(Failure),
    /// The start or the run failed.
    Failed(Failure),
    /// The sandbox stopped cleanly and everything of its run is gone.
    Stopped,
    /// The removal was refused or failed; the sandbox is still there. One that succeeds leaves no
    /// report.
    NotRemoved(Failure),
}
