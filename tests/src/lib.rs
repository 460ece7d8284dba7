//! What tests, the demo and the bench are built on.

pub mod private_bus;
pub mod skip;
pub mod testbed;
