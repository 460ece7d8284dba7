//! The Nix side, with a real Nix: files, what they evaluate to with nixpkgs' own `lib` and a package set,
//! and hosts built from them.

mod chain;
mod documentation;
mod evaluation;
mod examples;
mod files;
mod flake;
mod host;
mod module;
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[path = "../e2e/support.rs"]
mod support;
