//! Hunts canaries along every path a secret takes: a value that is seen anywhere but where it belongs
//! fails the test.

mod hunt;
mod paths;
mod values;
