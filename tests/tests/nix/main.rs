//! The Nix side, with a real Nix: files, and what they evaluate to with nixpkgs' own `lib` and a package
//! set where these are at hand.

mod documentation;
mod examples;
mod files;
mod host;
mod module;
mod support;
