//! Reading a file while nobody writes it. A lease of the kernel's tells whether somebody has it open
//! for writing, and holds up who opens it meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Chooses the signal, as the kernel numbers it on every machine.
const F_SETSIG: libc::c_int = 10;

/// Reads a file that nobody has open for writing; `None` where somebody has. Who opens it for writing
/// meanwhile waits until it is read. Where the file system has no leases, it is only read.
pub fn while_unwritten<T>(file: &File, read: impl FnOnce(&File) -> T) -> Option<T> {
    match take(file) {
        Ok(()) => {
            let done = read(file);
            // Closing the file ends it as well.
            set(file, libc::F_UNLCK).ok();
            Some(done)
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => None,
        Err(_) => Some(read(file)),
    }
}

/// Who waits is announced by a signal, by default one that kills; nobody needs to hear of it here.
fn take(file: &File) -> io::Result<()> {
    control(file, F_SETSIG, libc::SIGURG)?;
    set(file, libc::F_RDLCK)
}

fn set(file: &File, kind: libc::c_int) -> io::Result<()> {
    control(file, libc::F_SETLEASE, kind)
}

#[expect(unsafe_code, reason = "leases have no safe form")]
fn control(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: both commands take a number, and the descriptor is open.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_file_that_is_being_written_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"half").unwrap();
        let reader = File::open(&path).unwrap();
        assert!(while_unwritten(&reader, |_| panic!("it was read")).is_none());
        writer.write_all(b" and half").unwrap();
        drop(writer);
        let read = while_unwritten(&reader, |mut file| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(read.as_deref(), Some("half and half"));
        // Afterwards it is as any other file.
        fs::write(&path, "new").unwrap();
    }

    #[test]
    fn who_wants_to_write_waits_until_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        let reader = File::open(&path).unwrap();
        let read = while_unwritten(&reader, |mut file| {
            // The kernel says at once who may not wait for it.
            let impatient = rustix::fs::open(
                &path,
                rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
                rustix::fs::Mode::empty(),
            );
            assert_eq!(impatient.unwrap_err(), rustix::io::Errno::AGAIN);
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(read.as_deref(), Some("old"));
        fs::write(&path, "new").unwrap();
    }

    #[test]
    fn where_there_are_no_leases_it_is_read() {
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(while_unwritten(&file, |_| 1), Some(1));
    }
}
