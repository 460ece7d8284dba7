//! `ExecStopPost`: removes what a run leaves, however it ended, and publishes how that was. It can
//! be repeated, and cut off at any point and repeated.

use std::fs;
use std::io;
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::shim::report::Outcome;
use forage_api::{ErrorKind, Failure, names, places};
use rustix::mount::{UnmountFlags, unmount};

use crate::report::{self, remove_if_there, signal_name};
use crate::root::gc_root;
use crate::secrets::directory;
use crate::{accounts, limits, log, network, record, run};

/// Cleans up. The result is the process's exit status.
pub fn cleanup(id: SandboxId) -> u8 {
    let failures = remove_run(id);
    let variable = |name| std::env::var(name).unwrap_or_default();
    let noted = report::take_note(id);
    let said_so = noted.is_some();
    let outcome = noted.unwrap_or_else(|| {
        outcome(
            id,
            &variable("SERVICE_RESULT"),
            &variable("EXIT_CODE"),
            &variable("EXIT_STATUS"),
        )
    });
    if record::is_missing(id) {
        // A unit somebody started by hand, or a start systemd acted on too late: a report would wait
        // for a reader forever.
        let forgotten = report::forget(id).inspect_err(|error| {
            tracing::error!(FORAGE_EVENT = "left", "cannot remove the report: {error}");
        });
        log::remove(id).ok();
        return u8::from(forgotten.is_err() || !failures.is_empty());
    }
    let daemon = match accounts::daemon() {
        Ok(daemon) => daemon,
        Err(failure) => {
            tracing::error!("cannot report: {failure}");
            return 1;
        }
    };
    // What is published is the last thing: for the daemon it is the end of the run.
    if let (Outcome::Failed(failure), false) = (&outcome, said_so) {
        let line = format!("failed: {failure}");
        log::note_end(id, daemon.gid, &line).ok();
    }
    if let Err(error) = report::publish(id, outcome, daemon.gid) {
        tracing::error!("cannot report how the run ended: {error}");
        return 1;
    }
    u8::from(!failures.is_empty())
}

/// Removes everything of a run, with what systemd-nspawn leaves behind when it is killed, and says
/// what cannot be removed. A start does so too: the run before it may have been cut off with its host.
pub fn remove_run(id: SandboxId) -> Vec<String> {
    let mut failures = remove_leftovers(id);
    failures.extend(NSPAWN.iter().filter_map(|parent| {
        let place = Path::new(parent).join(names::machine(id));
        let error = remove_directory(&place).err()?;
        let why = crate::fail::reason(&error);
        Some(format!("cannot remove {}: {why}", place.display()))
    }));
    // Last, since it takes the longest.
    let network = network::removal::remove(id).map_err(|error| crate::fail::reason(&error));
    failures.extend(
        network
            .err()
            .map(|why| format!("cannot remove the network: {why}")),
    );
    for failure in &failures {
        tracing::error!(FORAGE_EVENT = "left", "{failure}");
    }
    failures
}

/// Where systemd-nspawn makes a directory for each container.
const NSPAWN: [&str; 2] = [
    "/run/systemd/nspawn/propagate",
    "/run/systemd/nspawn/unix-export",
];

/// Removes what a run makes outside its own mount namespace. One failure does not stop the rest.
pub fn remove_leftovers(id: SandboxId) -> Vec<String> {
    let socket = places::shim_socket(id);
    let parts = [
        (
            "the secrets",
            directory::remove(Path::new(places::SECRETS), id),
        ),
        (
            "the place of the mounts",
            remove_directory(&places::pin(id)),
        ),
        ("the root for Nix", gc_root::remove(id)),
        ("its limits", limits::remove(id)),
        ("the socket", remove_if_there(&socket)),
        ("the socket", remove_if_there(&run::fresh_socket(&socket))),
    ];
    parts
        .into_iter()
        .filter_map(|(what, removed)| {
            let error = removed.err()?;
            Some(format!(
                "cannot remove {what}: {}",
                crate::fail::reason(&error)
            ))
        })
        .collect()
}

/// Removes a directory in which there is nothing. What a run mounts on it is mounted in its own
/// namespace only; should a mount have got out, it is taken away, as far as the caller may.
fn remove_directory(place: &Path) -> io::Result<()> {
    const MOST: usize = 16;
    for _ in 0..MOST {
        match fs::remove_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
                unmount(place, flags).map_err(|_| error)?;
            }
            other => return other,
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// How a run ended that did not say so itself, from what systemd says about its process.
fn outcome(id: SandboxId, result: &str, code: &str, status: &str) -> Outcome {
    let what = match (result, code, status) {
        ("success", _, _) | ("", "", "") => return Outcome::Stopped,
        ("timeout", ..) => "the sandbox's unit took too long".to_owned(),
        ("watchdog", ..) => "the shim did not answer".to_owned(),
        ("oom-kill", ..) => "the sandbox ran out of memory".to_owned(),
        (_, "killed" | "dumped", signal) => {
            let number = signal.parse().unwrap_or_default();
            let name = match number {
                0 => format!("SIG{signal}"),
                number => signal_name(number),
            };
            format!("the shim was killed by {name}")
        }
        (_, "exited", status) => format!("the shim ended with status {status}"),
        (result, ..) => format!("the sandbox's unit failed: {result}"),
    };
    let hint = record::name_of(id).map_or_else(
        || format!("see its journal: journalctl -u {}", names::sandbox_unit(id)),
        |name| format!("see what it said: forage-ctl logs {} --start", name.name),
    );
    Outcome::Failed(Failure::new(ErrorKind::SandboxFailed, what).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_run_ended_by_what_systemd_says() {
        let id = SandboxId::new(1);
        assert_eq!(outcome(id, "success", "exited", "0"), Outcome::Stopped);
        assert_eq!(outcome(id, "", "", ""), Outcome::Stopped);
        for (result, code, status, expected) in [
            ("signal", "killed", "KILL", "the shim was killed by SIGKILL"),
            (
                "core-dump",
                "dumped",
                "SEGV",
                "the shim was killed by SIGSEGV",
            ),
            ("exit-code", "exited", "1", "the shim ended with status 1"),
            (
                "timeout",
                "killed",
                "KILL",
                "the sandbox's unit took too long",
            ),
            ("oom-kill", "killed", "KILL", "ran out of memory"),
            ("resources", "", "", "the sandbox's unit failed: resources"),
        ] {
            let Outcome::Failed(failure) = outcome(id, result, code, status) else {
                panic!("{result} is not a failure");
            };
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }
}
