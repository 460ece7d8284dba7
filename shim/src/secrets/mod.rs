//! What a sandbox is given: which credential of which agent comes from where, what of it is
//! delivered, and how it is kept current.
//!
//! | part | what |
//! | --- | --- |
//! | `delivery` | all of a sandbox's credentials, and what the daemon wants of them |
//! | `item`, `form` | one file of them, and what is in it |
//! | `directory` | where the files lie |
//! | `salt` | fingerprints |
//! | `source`, `trust` | reading a secret's file, as root, from a place of others |
//! | `watch` | noticing that it changed |

mod delivery;
pub mod directory;
mod form;
mod item;
mod salt;
pub mod source;
mod trust;
pub mod watch;

pub use delivery::{Change, Delivery, Wanted};
