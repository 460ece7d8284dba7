//! The exit codes of `forage-ctl`. `exec` exits as its command did instead: with its status, or
//! with 128 + n when signal n ended it.

/// Everything that was asked for was done.
pub const OK: u8 = 0;
/// Something failed that none of the other codes names.
pub const FAILURE: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// There is no such sandbox, template, secret, token or user.
pub const NO_SUCH: u8 = 3;
/// It exists already, or is in the wrong state for this.
pub const WRONG_STATE: u8 = 4;
/// The caller may not do this.
pub const DENIED: u8 = 5;
/// The daemon cannot be reached.
pub const UNREACHABLE: u8 = 6;
/// The sandbox is busy, or a limit is reached: try again later.
pub const BUSY: u8 = 7;
/// The sandbox could not be started, or failed.
pub const SANDBOX_FAILED: u8 = 8;
/// `exec`: the command was found, but could not be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// `exec`: the command was not found.
pub const NOT_FOUND: u8 = 127;
/// `exec`: added to the number of the signal that ended the command.
pub const SIGNAL_BASE: u8 = 128;
