//! Who may do what: the users and groups of the host, and polkit.

mod groups;
mod polkit;

pub(crate) use groups::HostUsers;
pub(crate) use polkit::Polkit;
