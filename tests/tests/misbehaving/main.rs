//! A host that misbehaves: what the daemon relies on goes away, hangs, fills up or lies, and people
//! and programs do what they should not. Sandboxes go on, nothing is lost, and what cannot be done is
//! said.
//!
//! These are a program of their own, so that they and the others can run at a time, each on a
//! host of its own.

mod bus;
mod clock;
mod disk;
mod faulty;
mod hostile;
mod inject;
mod inside;
mod killed;
mod leftovers;
mod load;
mod polkit;
#[path = "../authentication/probe.rs"]
mod probe;
mod reboot;
mod records;
mod revoking;
mod strangers;
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[path = "../e2e/support.rs"]
mod support;
