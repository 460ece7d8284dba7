//! forage-tests.
