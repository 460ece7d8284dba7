//! `auth`: what agents are logged in with.

pub(super) mod check;
mod outcome;
pub(super) mod refresh;
pub(super) mod revoke;
pub(super) mod status;
