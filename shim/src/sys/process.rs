//! Child processes, held by descriptors that cannot come to mean another process.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal,
    waitid,
};

use super::time::{Deadline, poll_one};

/// Where a process finds itself after a fork.
#[derive(Debug)]
pub enum Fork {
    /// The process that forked.
    Parent(Child),
    /// The new process. It must not return to its caller's caller: see [`exit`].
    Child,
}

/// A child process.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Child {
    /// Its process id, as this process numbers it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Gives up everything but the descriptor.
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }

    /// Sends it a signal. That it is gone already is no error.
    ///
    /// # Errors
    /// What `pidfd_send_signal` says.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes its exit status if it has ended.
    ///
    /// # Errors
    /// What `waitid` says.
    pub fn try_wait(&self) -> io::Result<Option<WaitIdStatus>> {
        self.waitid(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What `waitid` says.
    pub fn wait(&self) -> io::Result<WaitIdStatus> {
        let ended = self.waitid(WaitIdOptions::EXITED)?;
        ended.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Kills it and takes its exit status, unless the kernel cannot end it at once: then it is left
    /// behind, since a file system that hangs must not hang the shim.
    pub fn end(&self) {
        if self.signal(Signal::KILL).is_ok() {
            let deadline = Deadline::after(Duration::from_secs(1));
            let ended = poll_one(self.pidfd.as_fd(), PollFlags::IN, deadline);
            if matches!(ended, Ok(true)) {
                self.try_wait().ok();
            }
        }
    }

    fn waitid(&self, options: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Err(rustix::io::Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl AsFd for Child {
    /// Readable when the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Makes a copy of this process.
///
/// # Errors
/// What `fork` says.
#[expect(unsafe_code, reason = "fork has no safe form")]
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the shim has a single thread, so the copy holds no lock that another thread would
    // have to release; it may go on as any program does.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    match Pid::from_raw(pid) {
        None => Ok(Fork::Child),
        Some(pid) => {
            // The child cannot have been reaped, so the number still means it.
            let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
            Ok(Fork::Parent(Child { pid, pidfd }))
        }
    }
}

/// Makes a copy of this process that begins its life in another cgroup. Moving a process later
/// costs milliseconds; this costs nothing.
///
/// # Errors
/// What `clone3` says.
#[expect(unsafe_code, reason = "clone3 has no safe form")]
pub fn fork_into(cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    let mut pidfd: libc::c_int = -1;
    let arguments = libc::clone_args {
        flags: widen(libc::CLONE_PIDFD) | CLONE_INTO_CGROUP,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: widen(libc::SIGCHLD),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: widen(cgroup.as_raw_fd()),
    };
    // SAFETY: the structure is complete and outlives the call, `pidfd` is where the kernel writes
    // one integer, and without CLONE_VM the child has its own memory, as after `fork`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    let Ok(pid) = u32::try_from(pid) else {
        return Err(io::Error::last_os_error());
    };
    match Pid::from_raw(pid.cast_signed()) {
        None => Ok(Fork::Child),
        Some(pid) => {
            // SAFETY: the call succeeded, so the kernel opened this descriptor for us alone.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Fork::Parent(Child { pid, pidfd }))
        }
    }
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn widen(value: libc::c_int) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

/// Ends a forked child at once: nothing is dropped, so descriptors it has closed or shares with its
/// parent are left alone.
#[expect(unsafe_code, reason = "_exit has no safe form")]
pub fn exit(status: i32) -> ! {
    // SAFETY: ending the process cannot break an invariant of it.
    unsafe { libc::_exit(status) }
}

/// Asks to be killed when the parent ends.
///
/// # Errors
/// What the system says.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}
