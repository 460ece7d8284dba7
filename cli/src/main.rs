//! forage-ctl.

fn main() {}
