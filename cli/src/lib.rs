//! `forage-ctl`: the command line of Firefly Forage. It asks `foraged` over the system bus and shows
//! the answer; it keeps no state and writes no secret to disk.
//!
//! | module | what |
//! | --- | --- |
//! | [`args`] | the command line: verbs, options, help |
//! | [`verbs`] | one file per verb |
//! | [`bus`] | the connection to the system bus; `bus::errors` is where its errors become ours |
//! | [`complete`] | what a shell offers at the Tab key |
//! | [`exec`] | the data path of `exec`: three pipes, a socket, signals |
//! | [`host_login`] | the login of Claude Code on this host, which the daemon is offered |
//! | [`terminal`] | the data path of sessions on a terminal |
//! | [`tmux`] | the session that stays: what is run in a sandbox for it |
//! | [`token`] | where a token is read from, and the sealed memory it is handed over in |
//! | [`output`] | tables, JSON, progress, errors |

pub mod args;
pub mod bus;
pub mod complete;
pub mod error;
pub mod exec;
pub mod hardening;
pub mod host_login;
mod membership;
mod near;
pub mod output;
mod repository;
mod signals;
pub mod terminal;
pub mod tmux;
pub mod token;
pub mod verbs;

pub use error::Error;
