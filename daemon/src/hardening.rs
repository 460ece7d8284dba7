//! What the process does to itself before it touches anything.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

/// Makes this process unreadable to others of its user, and what it creates too.
pub(crate) fn apply() -> std::io::Result<()> {
    umask(Mode::from_raw_mode(0o077));
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
