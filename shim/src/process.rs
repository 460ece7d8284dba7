//! What this process is like, whatever it is going to do.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, geteuid, set_dumpable_behavior, setrlimit, umask,
};

/// Makes nothing this process writes readable by others unless it says so, and its memory readable
/// by no one, not even as a core dump.
///
/// # Errors
/// The process is not root's, or the system refuses.
pub fn harden() -> io::Result<()> {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    if geteuid().is_root() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "only systemd starts this program, as root",
        ))
    }
}
