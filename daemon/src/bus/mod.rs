//! The daemon on the system bus: who calls, whether they may, and passing on what is asked.
//!
//! Every method takes the same way: admission (how many requests are in flight), validation, access
//! (one table, [`access`]), the core, and the answer.

mod access;
mod admission;
mod callers;
mod export;
mod gate;
mod manager;
mod memfd;
mod socket;
mod subscribers;
mod tokens;
mod wire;

pub(crate) use callers::BusCallers;
pub(crate) use export::{export, flush, give_name_back, take_name};
pub(crate) use gate::Gate;
pub(crate) use socket::connect;
pub(crate) use subscribers::Subscribers;
