//! Reading a secret's file as root. The path comes from the configuration, which root owns; what
//! lies there may be anything, so it is judged before it is opened for reading.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use forage_api::ident::SecretName;
use forage_api::{ErrorKind, Failure, Secret};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use super::trust::walk_safely;
use crate::fail::reason;
use crate::sys::lease::while_unwritten;
use crate::walk::Lost;

/// The largest secret, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a secret's file cannot be used. It never says what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// There is no such file.
    Missing,
    /// The system does not let it be read.
    Unreadable(String),
    /// It is something else than a file with a value of a sensible size.
    Wrong(&'static str),
    /// Somebody is writing it.
    Unfinished,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it does not exist"),
            Self::Unreadable(why) => f.write_str(why),
            Self::Wrong(why) => f.write_str(why),
            Self::Unfinished => f.write_str("somebody is writing it"),
        }
    }
}

/// Reads a secret's file, however it is.
///
/// # Errors
/// It cannot be used.
pub fn read(path: &Path) -> Result<Secret, Unusable> {
    read_file(open_regular(&find(path)?)?)
}

/// Reads a secret's file if nobody is writing it.
///
/// # Errors
/// It cannot be used.
pub fn read_settled(path: &Path) -> Result<Secret, Unusable> {
    let file = open_regular(&find(path)?)?;
    while_unwritten(&file, |file| read_file(file)).unwrap_or(Err(Unusable::Unfinished))
}

/// Finds a secret's file; the result can be opened, and is what was judged.
fn find(path: &Path) -> Result<OwnedFd, Unusable> {
    let found = walk_safely(path).end.map_err(Unusable::from)?;
    let stat = fstat(&found).map_err(|error| unreadable(&error.into()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Unusable::Wrong("it is a directory")),
        FileType::Fifo => return Err(Unusable::Wrong("it is a pipe")),
        _ => return Err(Unusable::Wrong("it is not a regular file")),
    }
    Ok(found)
}

/// Opens the very file that was judged, not what the path means by now.
fn open_regular(found: &OwnedFd) -> Result<File, Unusable> {
    open_path(Path::new(&format!("/proc/self/fd/{}", found.as_raw_fd())))
}

/// Opens whatever a path means, without waiting for it, and reads it if it is a regular file.
///
/// # Errors
/// It cannot be used.
pub fn open_and_read(path: &Path) -> Result<Secret, Unusable> {
    read_file(open_path(path)?)
}

fn open_path(path: &Path) -> Result<File, Unusable> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| unreadable(&error.into()))?);
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(Unusable::Wrong("it is not a regular file"));
    }
    Ok(file)
}

fn read_file(file: impl Read) -> Result<Secret, Unusable> {
    let value = Secret::read(file, MAX_BYTES + 1).map_err(|error| unreadable(&error))?;
    if value.expose().len() > MAX_BYTES {
        return Err(Unusable::Wrong("it is larger than 64 KiB"));
    }
    if value.expose().iter().all(u8::is_ascii_whitespace) {
        return Err(Unusable::Wrong("it is empty"));
    }
    Ok(value)
}

impl From<Lost> for Unusable {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Missing | Lost::NotADirectory => Self::Missing,
            Lost::TooManyLinks => Self::Wrong("its path goes through too many links"),
            Lost::Fuse => Self::Wrong("it lies on a file system that a program provides (FUSE)"),
            Lost::System(number) => {
                Self::Unreadable(reason(&std::io::Error::from_raw_os_error(number)))
            }
            Lost::Refused(why) => Self::Unreadable(why),
        }
    }
}

fn unreadable(error: &std::io::Error) -> Unusable {
    match error.kind() {
        std::io::ErrorKind::NotFound => Unusable::Missing,
        _ => Unusable::Unreadable(reason(error)),
    }
}

/// The failure of a start that needs a secret.
pub fn failure(name: &SecretName, path: &Path, why: &Unusable) -> Failure {
    Failure::new(
        ErrorKind::SecretUnusable,
        format!(
            "the secret {name} cannot be used: {}: {why}",
            path.display()
        ),
    )
    .hint("put the value there, in a regular file of at most 64 KiB, and start again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_are_taken_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        for value in [&b"v"[..], b" v\n\n", b"\0\xff", &[b'x'; MAX_BYTES]] {
            fs::write(&path, value).unwrap();
            assert_eq!(read(&path).ok().unwrap().expose(), value);
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link).is_ok());
    }

    #[test]
    fn anything_else_is_refused_without_blocking() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("empty"), "").unwrap();
        fs::write(path("blank"), " \n").unwrap();
        fs::write(path("large"), vec![b'x'; MAX_BYTES + 1]).unwrap();
        fs::create_dir(path("directory")).unwrap();
        let fifo = path("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for (name, expected) in [
            ("missing", "it does not exist"),
            ("empty", "it is empty"),
            ("blank", "it is empty"),
            ("large", "it is larger than 64 KiB"),
            ("directory", "it is a directory"),
            ("fifo", "it is a pipe"),
        ] {
            let error = read(&path(name)).err().unwrap();
            assert_eq!(error.to_string(), expected, "{name}");
        }
        let device = read(Path::new("/dev/zero")).err().unwrap();
        assert_eq!(device, Unusable::Wrong("it is not a regular file"));
    }
}
