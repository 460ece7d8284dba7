//! What a sandbox is given: which credential of which agent comes from where, what of it is
//! delivered, and how it is kept current.

mod delivery;
pub mod directory;
mod salt;
pub mod source;
mod trust;
pub mod watch;

pub use delivery::{Delivery, Token};
