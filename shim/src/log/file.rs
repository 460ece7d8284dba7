//! The two files of a log. They lie in a directory only root can write, and are opened for each write:
//! a file that is held open would keep its file system from being unmounted or made read-only.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use forage_api::ident::SandboxId;
use forage_api::places;
use rustix::fs::Mode;

use crate::report::remove_if_there;

/// The size no file grows beyond, in bytes; before it would, it is put aside.
pub(super) const MOST: u64 = 256 * 1024;

/// The files of a sandbox's log.
#[derive(Debug)]
pub(super) struct Files {
    current: PathBuf,
    older: PathBuf,
    group: Option<u32>,
    /// Whether the last write may have ended within a line.
    torn: bool,
}

impl Files {
    /// Those of a sandbox.
    pub(super) fn of(id: SandboxId) -> Self {
        Self::in_directory(Path::new(places::LOGS), id)
    }

    pub(super) fn in_directory(directory: &Path, id: SandboxId) -> Self {
        let [current, older] = places::log_names(id).map(|name| directory.join(name));
        Self {
            current,
            older,
            group: None,
            torn: false,
        }
    }

    /// Says who may read what is made from here on.
    pub(super) fn belong_to(&mut self, group: u32) {
        self.group = Some(group);
    }

    /// Puts the current file aside, in the place of the one that was put aside before.
    pub(super) fn rotate(&self) -> io::Result<()> {
        match fs::rename(&self.current, &self.older) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Adds lines to the current file, or to a new one where it is full.
    pub(super) fn append(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut file = match self.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make()?,
            other => other?,
        };
        let length = file.metadata()?.len();
        if length > 0 && length + lines.len() as u64 > MOST {
            self.rotate()?;
            file = self.make()?;
        }
        let newline = if self.torn { "\n" } else { "" };
        let written = file.write_all(format!("{newline}{lines}").as_bytes());
        self.torn = written.is_err();
        written
    }

    fn options() -> fs::OpenOptions {
        let mut options = File::options();
        options
            .append(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
        options
    }

    fn open(&self) -> io::Result<File> {
        let file = Self::options().open(&self.current)?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("it is not a regular file"))
        }
    }

    fn make(&self) -> io::Result<File> {
        let made = match Self::options().create_new(true).open(&self.current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directory()?;
                Self::options().create_new(true).open(&self.current)
            }
            other => other,
        };
        let file = made?;
        fchown(&file, None, self.group)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640))?;
        Ok(file)
    }

    /// Installing makes the directory; this is for a host where it was lost.
    fn make_directory(&self) -> io::Result<()> {
        let Some(directory) = self.current.parent() else {
            return Ok(());
        };
        fs::DirBuilder::new().mode(0o700).create(directory)?;
        let directory = File::open(directory)?;
        fchown(&directory, None, self.group)?;
        Ok(rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o750))?)
    }

    /// Removes both.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove_if_there(&self.current)?;
        remove_if_there(&self.older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn files(directory: &Path) -> Files {
        let mut files = Files::in_directory(directory, SandboxId::new(1));
        files.belong_to(nix::unistd::getgid().as_raw());
        files
    }

    #[test]
    fn two_files_are_all_there_is() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("logs");
        let mut files = files(&directory);
        let lines = "x\n".repeat(8 * 1024);
        for _ in 0..100 {
            files.append(&lines).unwrap();
        }
        let sizes: Vec<u64> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= MOST));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&files.current)), (0o750, 0o640));
    }

    #[test]
    fn nothing_but_a_file_of_ours_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path());
        let victim = directory.path().join("victim");
        fs::write(&victim, "").unwrap();
        symlink(&victim, &files.current).unwrap();
        assert!(files.append("x\n").is_err());
        fs::remove_file(&files.current).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &files.current,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(files.append("x\n").is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"");
        // The next run puts aside whatever it is.
        files.rotate().unwrap();
        files.append("x\n").unwrap();
        assert_eq!(fs::read(&files.current).unwrap(), b"x\n");
        files.remove().unwrap();
    }
}
