//! Open files: what they lie on, and a way to change the mode of one that cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::io::Errno;

/// Anonymous pipes.
pub const PIPEFS: u32 = 0x5049_5045;
/// Pseudoterminals.
pub const DEVPTS: u32 = 0x1cd1;
/// Memory.
pub const TMPFS: u32 = 0x0102_1994;

/// The type of the file system an open file lies on, as `statfs` numbers it.
///
/// # Errors
/// What `fstatfs` says.
pub fn file_system(file: BorrowedFd<'_>) -> io::Result<u32> {
    // The types are 32 bits wide; the field is as wide as the machine, and may be signed.
    Ok((fstatfs(file)?.f_type & 0xffff_ffff) as u32)
}

/// A path of this process's own that means an open file.
pub fn own_path(file: BorrowedFd<'_>) -> std::path::PathBuf {
    format!("/proc/thread-self/fd/{}", file.as_raw_fd()).into()
}

/// How often a look-up is begun anew before it is given up.
const LOOK_UPS: u32 = 1000;

/// Opens a path as it is seen by who has `root` for its root. Whenever anything on the host is
/// mounted or renamed meanwhile, the kernel gives up on a path that goes through `..` and asks to
/// begin anew, which this does.
///
/// # Errors
/// What `openat2` says.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let look_up = || openat2(root, path, flags, Mode::empty(), resolve);
    let mut opened = look_up();
    for _ in 0..LOOK_UPS {
        if !matches!(opened, Err(Errno::AGAIN)) {
            break;
        }
        opened = look_up();
    }
    opened
}

/// The types of mounts, as the table of mounts has them. Asking this asks no file system anything.
#[derive(Debug, Default)]
pub struct Mounts {
    known: BTreeMap<u64, String>,
}

impl Mounts {
    /// The type of the file system an open file lies on, by name.
    ///
    /// # Errors
    /// The file's mount is not one of this process's mount namespace.
    pub fn kind(&mut self, file: BorrowedFd<'_>) -> io::Result<&str> {
        let proc = Path::new("/proc/thread-self");
        let info = fs::read_to_string(proc.join(format!("fdinfo/{}", file.as_raw_fd())))?;
        let elsewhere = || io::Error::other("it is not mounted on the host itself");
        let id = mount_id(&info).ok_or_else(elsewhere)?;
        if !self.known.contains_key(&id) {
            self.known = mounts(&fs::read_to_string(proc.join("mountinfo"))?);
        }
        self.known
            .get(&id)
            .map(String::as_str)
            .ok_or_else(elsewhere)
    }
}

fn mount_id(info: &str) -> Option<u64> {
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

fn mounts(table: &str) -> BTreeMap<u64, String> {
    let mount = |line: &str| {
        let id = line.split(' ').next()?.parse().ok()?;
        let (_, system) = line.split_once(" - ")?;
        Some((id, system.split(' ').next()?.to_owned()))
    };
    table.lines().filter_map(mount).collect()
}

/// Changes the mode of a file that is open only as a place (`O_PATH`), without looking anything up.
///
/// # Errors
/// What `fchmodat2` says; `ENOSYS` before Linux 6.6.
#[expect(unsafe_code, reason = "fchmodat2 has no safe form")]
pub fn change_mode(place: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: the path is an empty string that ends in zero; nothing else is read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            place.as_raw_fd(),
            c"".as_ptr(),
            mode,
            libc::AT_EMPTY_PATH,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn the_types_of_mounts() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda rw\n\
                     122 22 0:5 / /a\\040b rw shared:1 master:2 - fuse.sshfs a@b:/ rw\n";
        let mounts = mounts(table);
        assert_eq!(mounts[&22], "ext4");
        assert_eq!(mounts[&122], "fuse.sshfs");
        assert_eq!(
            mount_id("pos:\t0\nflags:\t0\nmnt_id:\t122\nino:\t5\n"),
            Some(122)
        );
        let proc = fs::File::open("/proc/self/status").unwrap();
        assert_eq!(Mounts::default().kind(proc.as_fd()).unwrap(), "proc");
    }
}
