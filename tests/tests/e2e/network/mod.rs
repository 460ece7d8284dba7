//! Sandboxes with a network: what they reach, and what they do not.

mod attacks;
mod hosts;
mod reach;
pub(crate) mod world;
