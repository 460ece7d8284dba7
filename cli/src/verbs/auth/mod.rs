//! `auth`: what agents are logged in with.

mod outcome;
pub(super) mod refresh;
pub(super) mod revoke;
pub(super) mod status;
