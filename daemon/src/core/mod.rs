//! What the daemon decides. It knows neither the bus nor systemd nor the file system: those are
//! behind the traits in [`ports`].
//!
//! One task owns the [`State`] and takes closures that look at it or change it, one after the other.
//! What takes long (starting, stopping, removing) runs in a task of its own that sends such closures
//! at its beginning, on its way and at its end. So different sandboxes go on in parallel, a second
//! operation on a busy one is refused at once, and listing never waits.

mod amend;
mod auth;
mod catch_up;
mod deadlines;
mod exec;
mod hand_over;
mod handle;
mod host_login;
mod launch;
mod link;
mod notice;
mod ports;
mod progress;
mod queue;
mod reconcile;
mod refresh;
mod remove;
mod resolve;
mod resume;
mod revoke;
mod rotation;
mod run;
mod sandbox;
mod settings;
mod spread;
mod start;
mod state;
mod stop;
mod takers;
mod token_text;
mod tokens;
mod turns;
mod wallet;

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;

pub(crate) use auth::{AuthChange, AuthOutcome};
pub(crate) use handle::Core;
pub(crate) use link::{Call, Link, Shim, silent};
pub(crate) use notice::Notice;
pub(crate) use ports::{
    Authority, Callers, Clock, Job, JobEnd, LoadedRecord, Ports, Records, Shims, StoredToken,
    TokenEntry, TokenFiles, TokenPlace, Unit, UnitState, Units, Users, Woken,
};
pub(crate) use progress::Progress;
pub(crate) use revoke::Then;
pub(crate) use sandbox::{Detail, SandboxStatus};
pub(crate) use settings::Settings;
pub(crate) use start::Started;
pub(crate) use state::{SandboxSpec, State};
pub(crate) use tokens::{TokenChange, TokenStatus};
