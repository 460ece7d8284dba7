//! Sealed memory: a file without a name whose content and size are fixed for good.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use forage_api::Secret;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use crate::Error;

/// Puts a secret into sealed memory.
///
/// # Errors
/// The kernel refuses.
pub fn sealed(secret: &Secret) -> Result<OwnedFd, Error> {
    let made = || -> std::io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = match memfd_create("token", flags | MemfdFlags::NOEXEC_SEAL) {
            // A kernel before 6.3 does not know the flag.
            Err(Errno::INVAL) => memfd_create("token", flags)?,
            other => other?,
        };
        let mut file = File::from(fd);
        file.write_all(secret.expose())?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    };
    made().map_err(|error| Error::system("the token could not be handed over", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn sealed_memory_holds_the_secret_and_cannot_be_changed() {
        let fd = sealed(&Secret::new(b"sk-ant-oat01-CANARY".to_vec())).unwrap();
        let seals = rustix::fs::fcntl_get_seals(&fd).unwrap();
        let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        assert!(seals.contains(all));
        let flags = rustix::io::fcntl_getfd(&fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let file = File::from(fd);
        assert_eq!(file.metadata().unwrap().len(), 19);
        let mut content = [0; 19];
        file.read_exact_at(&mut content, 0).unwrap();
        assert_eq!(&content, b"sk-ant-oat01-CANARY");
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(1).is_err());
        assert!(file.set_len(100).is_err());
    }
}
