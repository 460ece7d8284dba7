//! forage-api.
