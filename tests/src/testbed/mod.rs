//! A real systemd host in a container of this machine, with Firefly Forage installed as a package
//! would install it.
//!
//! Two trees are built once and cached under `target/testbed/`: the host, and the root of the
//! sandboxes; and a Nix store with a system. A run puts an overlay over the host tree, installs what was built, and boots it
//! under a supervisor process of its own. Everything a run makes hangs on that supervisor: its
//! mounts are in a private mount namespace, its processes in a pid namespace that dies with it.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use forage_tests::testbed::Testbed;
//! let testbed = Testbed::shared()?;
//! let listing = testbed.run_ok("alice", &["forage-ctl", "ps"])?;
//! # Ok(()) }
//! ```

mod around;
mod cargo;
mod cgroup;
mod claude;
mod enter;
mod host_tree;
mod install;
mod instance;
mod inventory;
mod journal;
mod mounts;
mod nix_store;
mod paths;
mod prepare;
mod prerequisites;
mod process;
mod run_dir;
mod sandbox_tree;
mod supervisor;
mod sysctl;
mod tree;
mod units;
mod users;
mod wait;

pub use cargo::{Binaries, Profile, build};
pub use enter::Outcome;
pub use instance::{Options, Testbed};
pub use inventory::Inventory;
pub use paths::{cache, repository};
pub use prepare::{Prepared, host, prepare};
pub use process::{DEADLINE, tool};
pub use run_dir::{down, running, wait_for_end};
pub use supervisor::supervise;
pub use wait::wait_for;
