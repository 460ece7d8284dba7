//! The whole way on a real host: the module, evaluated and built by a real Nix, makes the daemon's
//! configuration and the template's system; the daemon and the shim run from the store; sandboxes are
//! started, and stay what they are while the host is rebuilt, rolled back and upgraded.

mod examples;
mod hosts;
mod rebuild;
mod refusal;
