//! End-to-end tests: the real daemon, shim and command line on a real systemd host.

mod canary;
mod cli;
mod config_dir;
mod confinement;
mod credentials;
mod escape;
mod exec;
mod host;
mod live;
mod monitor;
mod network;
mod pane;
mod refused;
mod store_system;
mod story;
mod support;
mod terminal;
mod terminal_ends;
mod tmux;
