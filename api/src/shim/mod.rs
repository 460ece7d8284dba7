//! What the daemon, the shim and the command line say to each other over sockets.
//!
//! Two conversations use the same [`frame`]: [`control`] between the daemon and a sandbox's shim, and
//! [`exec`] between `forage-ctl` and the shim, whose two ends the daemon hands out. [`facts`]
//! are what a run is like, and [`report`] is the
//! file a shim leaves about a start or a removal.

pub mod control;
pub mod exec;
pub mod facts;
pub mod frame;
pub mod report;
