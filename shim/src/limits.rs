//! What a sandbox may use of the host. The limits are properties of the unit the shim runs in: systemd
//! sets them, shows them and enforces them. It is asked while the shim does other things, and nothing
//! of the container runs before it has answered: a sandbox without its limits does not start.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forage_api::config::ResourceLimits;
use forage_api::ident::SandboxId;
use forage_api::shim::facts::Limits;
use forage_api::{ErrorKind, Failure, names};
use rustix::event::PollFlags;

use crate::fail::start;
use crate::programs;
use crate::sys::process::{Child, Fork, die_with_parent, exit, fork};
use crate::sys::time::{Deadline, poll_one};
use crate::sys::{fds, signals};

/// How long systemd may take to set the limits.
const DEADLINE: Duration = Duration::from_secs(5);
/// Where systemd keeps what was set for the time the host runs. It forgets the unit with its run, but
/// not these.
const SET: &str = "/run/systemd/system.control";

/// A request that was made of systemd.
#[derive(Debug)]
pub struct Pending {
    systemctl: Child,
    deadline: Deadline,
}

/// Asks systemd to set the limits, if there are any.
///
/// # Errors
/// `systemctl` cannot be started.
pub fn begin(id: SandboxId, limits: &ResourceLimits) -> Result<Option<Pending>, Failure> {
    if limits.is_empty() {
        return Ok(None);
    }
    let program = programs::find("systemctl", "systemd")?;
    let failed = |error: io::Error| start("start systemctl", error);
    let arguments = programs::strings(arguments(id, limits)).map_err(failed)?;
    let environment = programs::strings(programs::ENVIRONMENT).map_err(failed)?;
    match fork().map_err(failed)? {
        Fork::Child => {
            // Standard error stays: what systemctl has to say goes to the journal.
            let prepared = fds::null_stdin()
                .and_then(|()| fds::close_all_but(&[]))
                .and_then(|()| signals::restore_defaults())
                .and_then(|()| die_with_parent());
            if prepared.is_ok() {
                // It returns only when it failed.
                nix::unistd::execve(&program, &arguments, &environment).ok();
            }
            exit(127)
        }
        Fork::Parent(systemctl) => Ok(Some(Pending {
            systemctl,
            deadline: Deadline::after(DEADLINE),
        })),
    }
}

impl Pending {
    /// Waits until the limits are set.
    ///
    /// # Errors
    /// systemd refused, or did not answer in time.
    pub fn finish(self) -> Result<(), Failure> {
        let failed = |why: &str| {
            Failure::new(
                ErrorKind::SandboxFailed,
                format!("cannot limit what the sandbox may use: {why}"),
            )
            .hint("the journal of the sandbox's unit says more; see also resourceLimits of its template")
        };
        match poll_one(self.systemctl.as_fd(), PollFlags::IN, self.deadline) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(failed("systemd does not answer")),
        }
        let status = self.systemctl.try_wait().ok().flatten();
        match status.and_then(|status| status.exit_status()) {
            Some(0) => Ok(()),
            _ => Err(failed("systemd refused")),
        }
    }
}

impl Drop for Pending {
    /// One that is still waited for is given up.
    fn drop(&mut self) {
        self.systemctl.end();
    }
}

/// All three are always named: what is not limited now may have been at an earlier start, if systemd
/// has not forgotten the unit since.
fn arguments(id: SandboxId, limits: &ResourceLimits) -> Vec<String> {
    let number =
        |value: Option<u64>| value.map_or_else(|| "infinity".to_owned(), |n| n.to_string());
    let quota = limits
        .cpu_quota
        .map_or_else(String::new, |q| format!("{}%", q.percent()));
    let tasks = limits.tasks_max.map_or(TASKS, |tasks| tasks.number());
    vec![
        "systemctl".to_owned(),
        "--runtime".to_owned(),
        "--no-ask-password".to_owned(),
        "set-property".to_owned(),
        names::sandbox_unit(id),
        format!("CPUQuota={quota}"),
        format!("MemoryMax={}", number(limits.memory_max.map(|m| m.bytes()))),
        format!("TasksMax={tasks}"),
    ]
}

/// `TasksMax=` of the unit's file.
const TASKS: u32 = 16384;

/// The limits as they are told.
pub fn facts(limits: &ResourceLimits) -> Limits {
    Limits {
        cpu_quota: limits.cpu_quota.map(|quota| quota.percent()),
        memory_max: limits.memory_max.map(|memory| memory.bytes()),
        tasks_max: limits.tasks_max.map(|tasks| tasks.number()),
    }
}

/// Takes the limits of a run away, and whatever else was set for its unit meanwhile.
///
/// # Errors
/// What the file system says.
pub fn remove(id: SandboxId) -> io::Result<()> {
    match fs::remove_dir_all(place(id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn place(id: SandboxId) -> PathBuf {
    Path::new(SET).join(format!("{}.d", names::sandbox_unit(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::template;

    fn asked(keys: &str) -> Vec<String> {
        let limits = template(keys).resource_limits;
        arguments(SandboxId::new(0xabc), &limits).split_off(4)
    }

    #[test]
    fn what_systemd_is_asked() {
        let all = "resourceLimits = { cpuQuota = \"150%\", memoryMax = \"4G\", tasksMax = 512 }\n";
        let unit = "forage-sandbox@00000abc.service";
        assert_eq!(
            asked(all),
            [
                unit,
                "CPUQuota=150%",
                "MemoryMax=4294967296",
                "TasksMax=512"
            ]
        );
        assert_eq!(
            asked("resourceLimits.tasksMax = 64\n"),
            [unit, "CPUQuota=", "MemoryMax=infinity", "TasksMax=64"]
        );
        let file = include_str!("../../daemon/data/systemd/forage-sandbox@.service");
        assert!(file.contains(&format!("\nTasksMax={TASKS}\n")));
        assert!(
            begin(SandboxId::new(1), &ResourceLimits::default())
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn the_place_systemd_keeps_them_in() {
        assert_eq!(
            place(SandboxId::new(0xabc)),
            Path::new("/run/systemd/system.control/forage-sandbox@00000abc.service.d")
        );
        remove(SandboxId::new(0xfffffff0)).unwrap();
    }
}
