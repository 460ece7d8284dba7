//! Tokens pass through this program's memory, so it leaves no core dump and no one may trace it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Rules out core dumps and tracing.
///
/// # Errors
/// What the system says.
pub fn keep_memory_private() -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
