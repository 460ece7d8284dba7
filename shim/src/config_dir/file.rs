//! One file of the owner's.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, Timespec, Timestamps,
    openat2, statx,
};
use rustix::io::Errno;

use super::place;
use super::tree::Stop;

/// What is asked of a file.
pub(super) const LOOK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);
/// A file system that a program provides is not asked, since it need not answer.
pub(super) const ASK_NOBODY: AtFlags = AtFlags::SYMLINK_NOFOLLOW
    .union(AtFlags::NO_AUTOMOUNT)
    .union(AtFlags::STATX_DONT_SYNC);

/// What became of copying a file.
pub(super) enum Copied {
    Whole(u64),
    /// Meanwhile the name came to mean another file.
    Replaced,
    Unreadable,
}

/// Copies one file. A name that means another file after its content was read may have been that of
/// a credential that was being written, so nothing of it is shown.
pub(super) fn copy(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &CStr,
    room: u64,
    age: Duration,
) -> Result<Copied, Stop> {
    let writing = |error: io::Error| Stop::writing(&error);
    let Ok(source) = open_in(from, name, OFlags::empty()).map(File::from) else {
        return Ok(Copied::Unreadable);
    };
    let read = match statx(&source, c"", AtFlags::EMPTY_PATH, LOOK) {
        Ok(read) if kind(&read) == FileType::RegularFile => read,
        _ => return Ok(Copied::Unreadable),
    };
    thread::sleep(until(&read, age));
    let mut copy = place::fresh(to, read.stx_mode & 0o100 != 0).map_err(writing)?;
    let copied = io::copy(&mut (&source).take(room.saturating_add(1)), &mut copy);
    let bytes = match copied.map_err(|error| (Stop::writing(&error), error)) {
        Ok(bytes) if bytes > room => return Err(Stop::Large(String::new())),
        Ok(bytes) => bytes,
        Err((Stop::Full, _)) => return Err(Stop::Full),
        Err(_) => return Ok(Copied::Unreadable),
    };
    let still = statx(from, name, ASK_NOBODY, LOOK);
    if !still
        .is_ok_and(|still| (still.stx_ino, still.stx_mnt_id) == (read.stx_ino, read.stx_mnt_id))
    {
        return Ok(Copied::Replaced);
    }
    place::finish(to, name, &copy, &times(&read)).map_err(writing)?;
    Ok(Copied::Whole(bytes))
}

/// How long it is until a file was left alone for some time; nothing where clocks make no sense. All
/// files of a directory grow older together, so a walk waits but once.
fn until(file: &Statx, age: Duration) -> Duration {
    let (seconds, rest) = (file.stx_ctime.tv_sec, file.stx_ctime.tv_nsec);
    let changed = u64::try_from(seconds).map(|seconds| Duration::new(seconds, rest));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let (Ok(changed), Ok(now)) = (changed, now) else {
        return Duration::ZERO;
    };
    now.checked_sub(changed)
        .and_then(|old| age.checked_sub(old))
        .unwrap_or_default()
}

/// Opens a name for reading, if it is no link and on the same mount, and does not wait for it.
pub(super) fn open_in(at: &OwnedFd, name: &CStr, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(at, name, flags | more, Mode::empty(), resolve)
}

pub(super) fn kind(found: &Statx) -> FileType {
    FileType::from_raw_mode(found.stx_mode.into())
}

/// Whether a file was copied already as it is.
pub(super) fn is_same(to: &OwnedFd, name: &CStr, found: &Statx) -> bool {
    let Ok(copy) = statx(to, name, ASK_NOBODY, LOOK) else {
        return false;
    };
    kind(&copy) == FileType::RegularFile
        && copy.stx_size == found.stx_size
        && copy.stx_mtime.tv_sec == found.stx_mtime.tv_sec
        && copy.stx_mtime.tv_nsec == found.stx_mtime.tv_nsec
        && (copy.stx_mode & 0o100) == (found.stx_mode & 0o100)
}

fn times(of: &Statx) -> Timestamps {
    let time = Timespec {
        tv_sec: of.stx_mtime.tv_sec,
        tv_nsec: of.stx_mtime.tv_nsec.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
