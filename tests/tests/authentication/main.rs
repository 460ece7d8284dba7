//! Authentication on a real systemd host: how credentials reach agents, change, expire, are withheld
//! and are looked at.
//!
//! These are a program of their own, as those of a host that misbehaves: much of what they do is
//! waiting.

mod auth;
mod delivery;
mod expiry;
mod frozen;
mod host_login;
mod listening;
mod login;
mod memory;
mod probe;
mod rotation;
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[path = "../e2e/support.rs"]
mod support;
mod wanted;
