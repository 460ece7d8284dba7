//! Fingerprints: enough of a salted hash to tell two values apart, too little to find one. The salt
//! is the host's own, so that fingerprints mean nothing elsewhere.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const LENGTH: usize = 32;

/// The salt of this host.
pub(super) struct Salt(Zeroizing<[u8; LENGTH]>);

impl Salt {
    /// Reads the salt; makes it at first use. Shims that do so at once end up with the same one.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        for _ in 0..3 {
            match read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => fs::remove_file(path)?,
                other => return other,
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// The fingerprint of a value.
    pub(super) fn fingerprint(&self, value: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.0.as_slice());
        hash.update(value);
        let digest = hash.finalize();
        digest.iter().take(4).map(|b| format!("{b:02x}")).collect()
    }
}

fn read(path: &Path) -> io::Result<Salt> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    if !meta.is_file() || !ours || meta.len() != LENGTH as u64 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut salt = Zeroizing::new([0; LENGTH]);
    (&file).read_exact(salt.as_mut_slice())?;
    Ok(Salt(salt))
}

/// Makes a salt under a name of its own and links it where it belongs, unless one is there by then.
fn make(path: &Path) -> io::Result<()> {
    let mut salt = Zeroizing::new([0_u8; LENGTH]);
    let mut filled = 0;
    while filled < LENGTH {
        filled += getrandom(&mut salt[filled..], GetRandomFlags::empty())?;
    }
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| {
            file.write_all(salt.as_slice())?;
            file.sync_all()?;
            fs::hard_link(&fresh, path)
        });
    fs::remove_file(&fresh).ok();
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_salt_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("salt");
        let value = b"value";
        let first = Salt::load(&path).unwrap().fingerprint(value);
        assert_eq!(first.len(), 8);
        assert_eq!(Salt::load(&path).unwrap().fingerprint(value), first);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_ne!(Salt::load(&path).unwrap().fingerprint(b"valuf"), first);
    }

    #[test]
    fn a_damaged_salt_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("salt");
        fs::write(&path, "short").unwrap();
        assert!(Salt::load(&path).is_ok());
        assert_eq!(fs::metadata(&path).unwrap().len(), 32);
    }
}
