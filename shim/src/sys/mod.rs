//! Thin, safe forms of the system calls the shim needs and no crate wraps. All `unsafe` code of the
//! shim is below this module.

pub mod fds;
pub mod files;
pub mod filter;
pub mod keyring;
pub mod lease;
pub mod memory;
pub mod mount;
pub mod privileges;
pub mod process;
pub mod signals;
pub mod time;
pub mod userns;
