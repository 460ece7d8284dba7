//! What an open file lies on.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::fstatfs;

/// Anonymous pipes.
pub const PIPEFS: u32 = 0x5049_5045;
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
