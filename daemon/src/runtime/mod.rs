//! The host as the core sees it: systemd's units, the shims' sockets and reports, the clocks.

mod clock;
mod inbox;
mod late;
mod logs;
mod reports;
mod shim;
mod shims;
mod systemd;
mod systemd_proxy;

pub(crate) use clock::HostClock;
pub(crate) use inbox::Inbox;
pub(crate) use shims::SocketShims;
pub(crate) use systemd::Systemd;
