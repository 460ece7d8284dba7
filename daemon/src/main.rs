//! foraged.

fn main() {}
