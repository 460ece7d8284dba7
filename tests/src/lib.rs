//! The testbed: a real systemd host to run Firefly Forage in, for tests, the demo and the bench.

pub mod skip;
pub mod testbed;
