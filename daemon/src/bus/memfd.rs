//! Taking a token out of the descriptor it comes in. Only a fully sealed memfd will do: nobody can
//! change, shrink or grow it while it is read, and reading it cannot block.

use std::os::fd::OwnedFd;

use forage_api::{ErrorKind, Failure, Secret};
use rustix::fs::{FileType, SealFlags, fcntl_get_seals, fstat};
use rustix::io::pread;

use crate::blocking::blocking;

/// The largest token, in bytes.
const MOST: usize = 8 * 1024;

/// Reads a token, which may be empty.
pub(super) async fn read(fd: OwnedFd) -> Result<Secret, Failure> {
    blocking(move || read_now(&fd)).await?
}

fn read_now(fd: &OwnedFd) -> Result<Secret, Failure> {
    // A regular file on a tmpfs answers F_SEAL_SEAL and can get no other seal, so that all four are
    // there says that it is a memfd. No other kind of file has seals.
    let sealed = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let seals = fcntl_get_seals(fd).map_err(|_| refused("the descriptor is not a memfd"))?;
    if !seals.contains(sealed) {
        return Err(refused("the memfd is not sealed against every change"));
    }
    let stat = fstat(fd).map_err(|_| refused("the descriptor cannot be used"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refused("the descriptor is not a memfd"));
    }
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    if size > MOST {
        let message = format!("there are more than {MOST} bytes, which no token has");
        return Err(Failure::new(ErrorKind::InvalidToken, message));
    }
    Secret::filled(size, |room| {
        let mut done = 0;
        while done < size {
            match pread(fd, &mut room[done..], done as u64) {
                Ok(0) => return Err(refused("the memfd ends early")),
                Ok(length) => done += length,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(refused("the memfd cannot be read")),
            }
        }
        Ok(size)
    })
}

fn refused(message: &str) -> Failure {
    Failure::new(ErrorKind::InvalidArgument, message)
        .hint("hand tokens over with forage-ctl, which makes such a descriptor")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

    use super::*;

    const ALL: SealFlags = SealFlags::SEAL
        .union(SealFlags::SHRINK)
        .union(SealFlags::GROW)
        .union(SealFlags::WRITE);

    fn memfd(content: &[u8], seals: SealFlags) -> OwnedFd {
        let fd = memfd_create("token", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(fd);
        file.write_all(content).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file.into()
    }

    #[test]
    fn a_sealed_memfd_is_read_from_its_beginning() {
        assert_eq!(
            read_now(&memfd(b"token", ALL)).ok().unwrap().expose(),
            b"token"
        );
        assert!(read_now(&memfd(b"", ALL)).ok().unwrap().is_empty());
        let most = vec![b'x'; MOST];
        assert_eq!(read_now(&memfd(&most, ALL)).ok().unwrap().expose(), most);
    }

    #[test]
    fn everything_else_is_refused() {
        let path = "/dev/shm/forage-test-not-a-memfd";
        let tmpfs = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path);
        std::fs::remove_file(path).ok();
        let (pipe, _writer) = std::io::pipe().unwrap();
        let mut wrong: Vec<OwnedFd> = vec![
            memfd(&vec![b'x'; MOST + 1], ALL),
            memfd(b"x", SealFlags::SEAL),
            memfd(b"x", ALL.difference(SealFlags::SEAL)),
            memfd(b"x", ALL.difference(SealFlags::WRITE)),
            memfd(b"x", ALL.difference(SealFlags::SHRINK)),
            memfd(b"x", ALL.difference(SealFlags::GROW)),
            pipe.into(),
            File::open("/dev/zero").unwrap().into(),
            File::open("/").unwrap().into(),
        ];
        wrong.extend(tmpfs.ok().map(OwnedFd::from));
        for (at, fd) in wrong.iter().enumerate() {
            assert!(read_now(fd).is_err(), "{at}");
        }
    }
}
