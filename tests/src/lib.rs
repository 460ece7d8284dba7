//! What tests, the demo and the bench are built on.

pub mod agent;
pub mod nix;
pub mod skip;
pub mod terminal;
pub mod testbed;
pub mod vendor;
