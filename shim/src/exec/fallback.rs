//! A system call filter of our own, for hosts whose kernel does not give out the container's. It is
//! made of three: one refuses what nspawn refuses, one knows no call newer than those that were
//! judged, and none of a foreign kind; the third is what we put on the container ourselves.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Operation,
    SeccompCondition as Condition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::nspawn::filter;

/// The newest system call that was judged; the numbers are the same on all machines from 424 on.
const NEWEST: i64 = 466;

/// What systemd-nspawn 257 refuses a container without extra capabilities: the host's clock,
/// modules, keys and swap, tracing of the kernel, locked memory, ways around file permissions, and
/// calls nobody uses any more.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_process_mrelease,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    MAP_SHADOW_STACK,
    FUTEX_WAKE,
    FUTEX_WAIT,
    FUTEX_REQUEUE,
    LSM_SET_SELF_ATTR,
];

const MAP_SHADOW_STACK: i64 = 453;
const FUTEX_WAKE: i64 = 454;
const FUTEX_WAIT: i64 = 455;
const FUTEX_REQUEUE: i64 = 456;
const LSM_SET_SELF_ATTR: i64 = 460;

/// Those that only this machine has: from `uselib` to `vserver`, mostly without a meaning today.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    134, 136, 139, 154, 156, 172, 173, 174, 177, 178, 181, 182, 183, 184, 185, 236,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Makes the filters.
pub(super) fn filters() -> io::Result<Vec<BpfProgram>> {
    let always = |&call: &i64| (call, Vec::new());
    let mut refused: BTreeMap<_, _> = REFUSED.iter().chain(REFUSED_HERE).map(always).collect();
    refused.insert(libc::SYS_socket, vec![audit_socket()?]);
    let known = (0..=NEWEST).map(|call| (call, Vec::new())).collect();
    Ok(vec![
        make(refused, SeccompAction::Allow, errno(libc::EPERM))?,
        make(known, errno(libc::ENOSYS), SeccompAction::Allow)?,
        filter::program(),
    ])
}

/// A socket to the kernel's audit, which knows nothing of containers.
fn audit_socket() -> io::Result<SeccompRule> {
    let is = |argument, value: libc::c_int| {
        let value = u64::from(value.unsigned_abs());
        Condition::new(argument, Length::Dword, Operation::Eq, value)
    };
    let conditions = [is(0, libc::AF_NETLINK), is(2, libc::NETLINK_AUDIT)];
    let conditions: Result<Vec<Condition>, _> = conditions.into_iter().collect();
    conditions
        .and_then(SeccompRule::new)
        .map_err(io::Error::other)
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn make(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    these: SeccompAction,
) -> io::Result<BpfProgram> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    SeccompFilter::new(rules, others, these, architecture)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Fork, exit, fork};

    /// What a call without arguments is answered under the filters.
    #[expect(unsafe_code, reason = "system calls by number")]
    fn answer(call: i64, arguments: [i64; 3]) -> i32 {
        // SAFETY: the calls tested are refused, or harmless with null and small arguments.
        let [a, b, c] = arguments;
        match unsafe { libc::syscall(call, a, b, c, 0, 0, 0) } {
            -1 => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
            _ => 0,
        }
    }

    fn under_the_filters() -> i32 {
        for filter in filters().unwrap() {
            seccompiler::apply_filter(&filter).unwrap();
        }
        let netlink = i64::from(libc::AF_NETLINK);
        let raw = i64::from(libc::SOCK_RAW);
        let vsock = i64::from(libc::AF_VSOCK);
        let expected = [
            (libc::SYS_getppid, [0; 3], 0),
            (libc::SYS_keyctl, [1, 0, 0], libc::EPERM),
            (libc::SYS_bpf, [0; 3], libc::EPERM),
            (libc::SYS_reboot, [0; 3], libc::EPERM),
            (libc::SYS_socket, [netlink, raw, 9], libc::EPERM),
            (libc::SYS_socket, [netlink, raw, 0], 0),
            (libc::SYS_socket, [vsock, 1, 0], libc::EAFNOSUPPORT),
            (libc::SYS_io_uring_setup, [0; 3], libc::ENOSYS),
            (NEWEST + 1, [0; 3], libc::ENOSYS),
            (0x4000_0000 + 39, [0; 3], libc::ENOSYS),
        ];
        let wrong =
            |(call, arguments, right): &(i64, [i64; 3], i32)| answer(*call, *arguments) != *right;
        i32::try_from(expected.iter().filter(|e| wrong(e)).count()).unwrap_or(100)
    }

    #[test]
    fn what_is_refused_in_a_real_process() {
        match fork().unwrap() {
            Fork::Child => exit(under_the_filters()),
            Fork::Parent(child) => assert_eq!(child.wait().unwrap().exit_status(), Some(0)),
        }
    }
}
