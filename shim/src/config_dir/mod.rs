//! Configuration directories: what an agent has of its owner's, such as `~/.claude`. The sandbox
//! gets a copy on its own tmpfs and never the directory itself: what an agent writes there, such as
//! a hook, would run on the host, and what a host's program writes there are credentials.
//!
//! A process with the owner's rights opens the directory, walks it within limits before anything is
//! changed, and copies it once the sandbox's root is there. A copy that the sandbox cannot write is
//! kept as the owner's directory is by the same process, for as long as the sandbox runs.
//!
//! | part | what |
//! | --- | --- |
//! | `keeper` | the shim's side |
//! | `child` | the process with the owner's rights |
//! | `tree`, `file` | the walk, and one file |
//! | `left_out` | what never reaches a sandbox |
//! | `place` | the sandbox's side of a copy |
//! | `follow` | changes |
//! | `words` | what the two processes say, and what people are told |

mod child;
mod file;
mod follow;
mod keeper;
mod left_out;
mod place;
mod tree;
mod words;

use std::os::fd::BorrowedFd;
use std::path::Path;

use forage_api::Failure;
use forage_api::config::ConfigDir;

use crate::accounts;
use crate::admission::Admitted;
use crate::root::{self, Places};
use crate::sys::time::Deadline;

pub use keeper::Keeper;

/// Where the owner's directories lie. Asks for the owner's home only where it is needed.
///
/// # Errors
/// The home cannot be found out.
pub fn located(planned: Vec<ConfigDir>, owner: u32) -> Result<Vec<ConfigDir>, Failure> {
    let mut home = None;
    let locate = |dir: ConfigDir| {
        if !dir.is_in_home() {
            return Ok(dir);
        }
        let home = match &home {
            Some(home) => home,
            None => home.insert(accounts::home(owner)?),
        };
        Ok(ConfigDir {
            source: dir.source_in(home),
            ..dir
        })
    };
    planned.into_iter().map(locate).collect()
}

/// Begins to look at the directories of a sandbox.
///
/// # Errors
/// No process can be made.
pub fn begin(sandbox: &Admitted) -> Result<Vec<Keeper>, Failure> {
    let planned = sandbox.template.config_dirs();
    let located = sandbox.config_dirs.iter().zip(&planned);
    located
        .map(|(dir, planned)| Keeper::begin(sandbox, dir, planned.is_in_home()))
        .collect()
}

/// Waits until they were looked at; gives lines for the log.
///
/// # Errors
/// One cannot be used. Nothing was changed then.
pub fn ready(keepers: &mut [Keeper], cancel: BorrowedFd<'_>) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for keeper in keepers {
        lines.extend(keeper.ready(cancel)?);
    }
    Ok(lines)
}

/// Hears what cannot be followed; gives lines for the log.
pub fn changes(keepers: &mut [Keeper]) -> Vec<String> {
    keepers.iter_mut().flat_map(Keeper::changes).collect()
}

/// Has them copied to where the sandbox will see them; gives lines for the log.
///
/// # Errors
/// One could not be copied.
pub fn copy(
    sandbox: &Admitted,
    places: &Places,
    keepers: &mut [Keeper],
    deadline: Deadline,
    cancel: BorrowedFd<'_>,
) -> Result<Vec<String>, Failure> {
    for (number, (keeper, dir)) in keepers.iter_mut().zip(&sandbox.config_dirs).enumerate() {
        let inside: &Path = &dir.inside;
        keeper.begin_copy(&root::add_config(sandbox, places, number, inside)?)?;
    }
    let mut lines = Vec::new();
    for keeper in keepers {
        lines.extend(keeper.end_copy(deadline, cancel)?);
    }
    Ok(lines)
}
