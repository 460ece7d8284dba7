//! forage-shim.

fn main() {}
