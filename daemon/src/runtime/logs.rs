//! The logs the shims keep, opened for their owners. They are root's files in a directory of root's
//! that the daemon may read; nothing else there is ever handed out.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use forage_api::ident::SandboxId;
use forage_api::{ErrorKind, Failure, places};
use rustix::fs::OFlags;

/// Opens the files of a sandbox's log that there are, the oldest first.
pub(super) fn open(directory: &Path, id: SandboxId) -> Result<Vec<OwnedFd>, Failure> {
    let [current, older] = places::log_names(id);
    let opened = [older, current].map(|name| open_one(&directory.join(name)));
    opened.into_iter().filter_map(Result::transpose).collect()
}

fn open_one(path: &Path) -> Result<Option<OwnedFd>, Failure> {
    let failed = |why: String| {
        Failure::new(
            ErrorKind::StorageFailed,
            format!("the sandbox's log cannot be read: {why}"),
        )
        .hint("systemd-tmpfiles --create gives its directory the rights it needs")
    };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| failed(error.to_string()))?,
    };
    let regular = file.metadata().is_ok_and(|meta| meta.is_file());
    if !regular {
        return Err(failed("it is not a regular file".into()));
    }
    Ok(Some(file.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn only_files_are_handed_out_and_the_oldest_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let id = SandboxId::new(0xabc);
        assert!(open(path, id).unwrap().is_empty());
        std::fs::write(path.join("00000abc"), "new").unwrap();
        std::fs::write(path.join("00000abc.1"), "old").unwrap();
        let contents: Vec<String> = open(path, id)
            .unwrap()
            .into_iter()
            .map(|fd| {
                let mut text = String::new();
                File::from(fd).read_to_string(&mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(contents, ["old", "new"]);
        let current = path.join("00000abc");
        for make in [
            |path: &Path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap(),
            |path: &Path| std::fs::create_dir(path).unwrap(),
        ] {
            std::fs::remove_file(&current).unwrap();
            make(&current);
            let failure = open(path, id).unwrap_err();
            assert_eq!(failure.kind, ErrorKind::StorageFailed);
        }
    }
}
