//! The reports of the shims, `result/<id>`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use forage_api::shim::report::{MAX_BYTES, Report};
use rustix::fs::OFlags;

/// Reads a report that is newer than `since`; `None` if there is none that can be used.
pub(super) fn read(path: &Path, since: u64) -> Option<Report> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_BYTES {
        return None;
    }
    let report: Report = serde_json::from_slice(&bytes).ok()?;
    (report.boot_time_ns >= since).then_some(report)
}

#[cfg(test)]
mod tests {
    use forage_api::shim::report::Outcome;

    use super::*;

    #[test]
    fn older_and_damaged_reports_are_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("00000001");
        assert_eq!(read(&path, 0), None);
        let report = Report {
            boot_time_ns: 100,
            outcome: Outcome::Stopped,
        };
        let whole = serde_json::to_vec(&report).unwrap();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path, 100), Some(report));
        assert_eq!(read(&path, 101), None);
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(read(&path, 0), None);
    }
}
