//! What the parts of Firefly Forage agree on: names, wire types, errors, exit codes, file formats
//! and client proxies. It holds no policy and starts nothing.
//!
//! | module | what |
//! | --- | --- |
//! | [`names`] | bus name, object path, interfaces, polkit actions, unit names |
//! | [`places`] | directories and files both privileges agree on |
//! | [`ident`] | the only way to make a sandbox, template, agent, secret or variable name |
//! | [`secret`] | bytes that are wiped when dropped and cannot be printed |
//! | [`error`] | one failure type, its D-Bus names and its exit codes |
//! | [`config`] | `/etc/firefly-forage/config.toml` |
//! | [`provider`] | which variables an AI provider reads, and which compete with them |
//! | [`record`] | a sandbox's record on disk |
//! | [`shim`] | what the daemon, the shim and the command line say to each other over sockets |
//! | [`bus`] | what travels over D-Bus (feature `bus`) |

#[cfg(feature = "bus")]
pub mod bus;
pub mod config;
pub mod error;
pub mod exit;
pub mod ident;
pub mod names;
pub mod places;
pub mod provider;
pub mod record;
pub mod secret;
pub mod shim;

pub use error::{ErrorKind, Failure};
pub use secret::Secret;
