//! The daemon on a private bus with the shipped policy, called by real clients as several uids.

mod access;
mod config;
mod host;
mod host_login;
mod input;
mod introspection;
mod logs;
mod revoke;
mod tokens;
