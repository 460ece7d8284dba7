//! End-to-end tests: the real daemon, shim and command line on a real systemd host.

mod auth;
mod canary;
mod cli;
mod config_dir;
mod confinement;
mod credentials;
mod delivery;
mod escape;
mod exec;
mod expiry;
mod frozen;
mod host;
mod host_login;
mod live;
mod memory;
mod monitor;
mod network;
mod pane;
mod refused;
mod rotation;
mod store_system;
mod story;
mod support;
mod terminal;
mod terminal_ends;
mod tmux;
