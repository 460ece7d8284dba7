//! The shim: the only part of Firefly Forage that runs as root, one small process per sandbox.
//!
//! It trusts little: the record the daemon wrote names the sandbox, its owner, its template and its
//! repository, and is checked against the configuration and the accounts of the host; everything
//! else comes from what root owns.
//!
//! | module | what |
//! | --- | --- |
//! | [`run`] | a sandbox's run: check, build, boot, serve, stop |
//! | [`cleanup`], [`remove`] | what is done after a run, and for good |
//! | [`admission`], [`record`], [`accounts`], [`slot`] | whether a sandbox may run |
//! | [`workspace`], [`walk`] | the owner's directory, opened as the owner and pinned |
//! | [`config_dir`] | agents' configuration directories, copied as the owner |
//! | [`root`] | the container's root in a mount namespace of the shim's own |
//! | [`secrets`], [`wrapper`], [`profile`], [`managed`] | credentials: delivered, kept current, put where agents look inside |
//! | [`network`] | the link to the host, and its firewall |
//! | [`nspawn`], [`cgroup`] | the container and its processes |
//! | [`limits`] | what the container may use of the host |
//! | [`programs`] | programs of the host |
//! | [`exec`] | commands in the container |
//! | [`report`], [`journal`], [`log`], [`fail`] | what is told to whom |
//! | [`sys`] | system calls; the only place with `unsafe` code |

pub mod accounts;
pub mod admission;
pub mod cgroup;
pub mod cleanup;
pub mod config_dir;
pub mod exec;
pub mod fail;
pub mod journal;
pub mod limits;
pub mod log;
pub mod managed;
pub mod network;
pub mod nspawn;
pub mod process;
pub mod profile;
pub mod programs;
pub mod record;
pub mod remove;
pub mod report;
pub mod root;
pub mod run;
pub mod secrets;
pub mod slot;
pub mod sys;
#[cfg(test)]
mod testing;
pub mod walk;
pub mod workspace;
pub mod wrapper;
