//! The system call filters an executed command is put under: those of the container's first process,
//! which are nspawn's, or a strict one of our own where the kernel does not give them out.

use std::io;

use seccompiler::{BpfProgram, apply_filter};

use super::fallback;
use crate::nspawn::leader::Leader;

/// Filters to install, in this order.
#[derive(Debug)]
pub struct Filters(Vec<BpfProgram>);

impl Filters {
    /// The filters for commands beside this first process. There is always at least one.
    ///
    /// # Errors
    /// Our own cannot be made for this machine.
    pub fn beside(leader: &Leader) -> io::Result<Self> {
        match leader.filters() {
            Ok(programs) if !programs.is_empty() => return Ok(Self(programs)),
            Ok(_) => tracing::warn!(
                FORAGE_EVENT = "own-filter",
                "the container runs without a system call filter; commands get our own"
            ),
            Err(error) => tracing::info!(
                FORAGE_EVENT = "own-filter",
                "the container's system call filters cannot be read ({}); commands get our own",
                crate::fail::reason(&error)
            ),
        }
        fallback::filters().map(Self)
    }

    /// Puts this process under them. It must have no_new_privs.
    ///
    /// # Errors
    /// The kernel refuses one. The caller must not go on then.
    pub fn install(&self) -> io::Result<()> {
        for program in &self.0 {
            apply_filter(program).map_err(io::Error::other)?;
        }
        Ok(())
    }
}
