//! The container's first process. It is found by what nspawn says, checked against what the kernel
//! says, and from then on held by a descriptor: never by name, and never by number again.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use forage_api::ident::Slot;
use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use rustix::thread::CapabilitySet;

use crate::cgroup::Unit;
use crate::sys::filter::{Program, filters_of};
use crate::sys::signals::power_off;
use crate::sys::time::{Deadline, poll_one};

/// The container's first process.
#[derive(Debug)]
pub struct Leader {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Leader {
    /// Holds the process with this number if it is the first process of the container that `nspawn`
    /// runs in `unit` with the uids from `base`.
    ///
    /// # Errors
    /// It is another process, or gone.
    pub fn hold(number: i32, nspawn: Pid, unit: &Unit, base: u32) -> io::Result<Self> {
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        let pid = (number > 1).then(|| Pid::from_raw(number)).flatten();
        let pid = pid.ok_or_else(gone)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let read = |file: &str| fs::read_to_string(format!("/proc/{number}/{file}"));
        let (status, map, cgroup) = (read("status")?, read("uid_map")?, read("cgroup")?);
        if parent(&status) != Some(nspawn.as_raw_nonzero().get()) {
            return Err(io::Error::other("it is not a child of systemd-nspawn"));
        }
        if !maps(&map, base) {
            return Err(io::Error::other("it has another id map"));
        }
        if !unit.holds(&cgroup) {
            return Err(io::Error::other("it runs in another unit"));
        }
        // Only while it lives does the number mean the process that was looked at.
        if !alive(pidfd.as_fd())? {
            return Err(gone());
        }
        Ok(Self { pid, pidfd })
    }

    /// Reads the system call filters it is under, oldest first.
    ///
    /// # Errors
    /// The kernel does not give them.
    pub fn filters(&self) -> io::Result<Vec<Program>> {
        let filters = filters_of(self.pid)?;
        if alive(self.pidfd.as_fd())? {
            Ok(filters)
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    }

    /// The capabilities anything in the container could have at most.
    ///
    /// # Errors
    /// `/proc` does not say, or it is gone.
    pub fn bounding_set(&self) -> io::Result<CapabilitySet> {
        let status = self.proc("status")?;
        bounding_set(&status)
            .ok_or_else(|| io::Error::other("/proc does not tell its capabilities"))
    }

    /// Tells whether it has ended or is about to: the kernel then kills everything inside.
    pub fn is_ending(&self) -> bool {
        self.proc("stat").map_or(true, |stat| is_exiting(&stat))
    }

    /// Waits for its end; `false`: the deadline came first.
    pub fn ends_until(&self, deadline: Deadline) -> bool {
        poll_one(self.pidfd.as_fd(), PollFlags::IN, deadline).unwrap_or(false)
    }

    fn proc(&self, file: &str) -> io::Result<String> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid.as_raw_nonzero()))?;
        // Only while it lives does the number mean it.
        if alive(self.pidfd.as_fd())? {
            Ok(text)
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    }

    /// Asks it to power the container off: its services' own stop commands run.
    ///
    /// # Errors
    /// What `pidfd_send_signal` says; that it is gone already is no error.
    pub fn power_off(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, power_off()) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Leader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn alive(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    let now = Deadline::after(std::time::Duration::ZERO);
    Ok(!poll_one(pidfd, PollFlags::IN, now)?)
}

fn parent(status: &str) -> Option<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn bounding_set(status: &str) -> Option<CapabilitySet> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))?;
    let bits = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(CapabilitySet::from_bits_retain(bits))
}

/// Tells whether `/proc/<pid>/stat` is that of a process on its way out. Its name may hold anything.
fn is_exiting(stat: &str) -> bool {
    const PF_EXITING: u64 = 4;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let flags = fields.split_ascii_whitespace().nth(6);
    flags
        .and_then(|flags| flags.parse::<u64>().ok())
        .is_none_or(|flags| flags & PF_EXITING != 0)
}

/// Tells whether an id map is exactly the sandbox's.
fn maps(map: &str, base: u32) -> bool {
    let numbers: Vec<u32> = map.split_whitespace().flat_map(str::parse).collect();
    map.lines().count() == 1 && numbers == [0, base, Slot::SIZE]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says() {
        let status = "Name:\tsystemd\nPid:\t12\nPPid:\t11\nTracerPid:\t0\n";
        assert_eq!(parent(status), Some(11));
        assert_eq!(parent("Name:\tx\n"), None);
        assert!(maps("         0 1879048192      65536\n", 0x7000_0000));
        assert!(!maps("         0          0 4294967295\n", 0x7000_0000));
        assert!(!maps("0 1879048192 65536\n65536 0 1\n", 0x7000_0000));
        assert!(!maps("", 0x7000_0000));
        let set = bounding_set("CapInh:\t0\nCapBnd:\t00000000fdecbfff\n").unwrap();
        assert_eq!(set.bits(), 0xfdec_bfff);
        assert_eq!(bounding_set("CapBnd:\tx\n"), None);
        assert!(!is_exiting("1 (a) R 1) S 0 1 1 0 -1 4194560 9 8"));
        assert!(is_exiting("1 (systemd) Z 0 1 1 0 -1 4194564 9 8"));
        assert!(is_exiting(""));
    }

    #[test]
    fn no_other_process_is_held() {
        let unit = Unit::parse("0::/a/supervisor\n").unwrap();
        let me = rustix::process::getpid();
        let number = me.as_raw_nonzero().get();
        assert!(Leader::hold(number, me, &unit, 0x7000_0000).is_err());
        assert!(Leader::hold(1, me, &unit, 0x7000_0000).is_err());
        assert!(Leader::hold(-1, me, &unit, 0x7000_0000).is_err());
    }
}
