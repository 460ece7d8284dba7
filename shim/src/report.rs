//! What a run or a removal leaves for the daemon to read.
//!
//! A run does not publish its own failure: it notes it below `pin/`, and `cleanup` publishes it when
//! everything of the run is gone. So a report is always the last thing, and a start that follows it
//! finds nothing in its way.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use forage_api::ident::SandboxId;
use forage_api::places;
use forage_api::shim::report::{MAX_BYTES, Outcome, Report};

use crate::sys::time::boot_time_ns;

/// Where a run notes how it ended.
pub fn note_path(id: SandboxId) -> PathBuf {
    Path::new(places::PINS).join(format!("{id}.outcome"))
}

/// Notes how a run ended, for `cleanup` to publish.
///
/// # Errors
/// What the file system says.
pub fn note(id: SandboxId, outcome: Outcome) -> io::Result<()> {
    write(&note_path(id), &report(outcome), None)
}

/// Takes the note of the last run, if it left one.
pub fn take_note(id: SandboxId) -> Option<Outcome> {
    let path = note_path(id);
    let bytes = fs::read(&path).ok()?;
    fs::remove_file(&path).ok();
    let small = u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_BYTES);
    let report: Report = serde_json::from_slice(&bytes).ok().filter(|_| small)?;
    Some(report.outcome)
}

/// Publishes an outcome where the daemon, whose gid is given, can read it.
///
/// # Errors
/// What the file system says.
pub fn publish(id: SandboxId, outcome: Outcome, daemon_gid: u32) -> io::Result<()> {
    write(&places::result(id), &report(outcome), Some(daemon_gid))
}

/// Removes what the last run or removal published and noted.
///
/// # Errors
/// What the file system says.
pub fn forget(id: SandboxId) -> io::Result<()> {
    for path in [places::result(id), note_path(id)] {
        remove_if_there(&path)?;
        remove_if_there(&fresh(&path))?;
    }
    Ok(())
}

/// Removes a file; that it is not there is no error.
///
/// # Errors
/// What the file system says.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A signal's name, for messages.
pub fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number)
        .map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}

fn report(outcome: Outcome) -> Report {
    Report {
        boot_time_ns: boot_time_ns(),
        outcome,
    }
}

/// The name a report has until it is whole.
fn fresh(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// Writes a report so that a reader sees all of it or nothing.
fn write(path: &Path, report: &Report, group: Option<u32>) -> io::Result<()> {
    let bytes = serde_json::to_vec(report)?;
    let fresh = fresh(path);
    remove_if_there(&fresh)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    let written = file.write_all(&bytes).and_then(|()| {
        if let Some(group) = group {
            fchown(&file, Some(0), Some(group))?;
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o640))?;
        }
        fs::rename(&fresh, path)
    });
    if written.is_err() {
        fs::remove_file(&fresh).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_report_is_whole_and_private_until_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("00000001");
        write(&path, &report(Outcome::Stopped), None).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read: Report = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(read.outcome, Outcome::Stopped);
        assert!(read.boot_time_ns > 0);
        write(&path, &report(Outcome::Stopped), None).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
