//! End-to-end tests: the real daemon, shim and CLI on a real systemd host.

mod host;
