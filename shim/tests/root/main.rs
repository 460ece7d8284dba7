//! What only root can do, done for real: mounts, id maps, other users. Each test runs in a mount
//! namespace of its own, where `/run` and `/var/lib` are empty, so nothing of the machine's is
//! touched. Without root they say that they were skipped.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod config_dir;
mod delivery;
mod host;
mod rights;
mod root;
mod secrets;
mod workspace;
