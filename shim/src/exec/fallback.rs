//! A system call filter of our own, for kernels and hosts that do not give out the container's. It
//! is made of two: one refuses what nspawn refuses, one knows no call newer than those that were
//! judged, and none of a foreign kind.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The newest system call that was judged; the numbers are the same on all machines from 424 on.
const NEWEST: i64 = 462;

/// What a container's processes have no use for: the host's clock, modules, keys, tracing of the
/// kernel, and ways around file permissions.
const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Makes the filters.
pub(super) fn filters() -> io::Result<Vec<BpfProgram>> {
    let refused = REFUSED.iter().copied();
    let known = 0..=NEWEST;
    Ok(vec![
        make(refused, SeccompAction::Allow, errno(libc::EPERM))?,
        make(known, errno(libc::ENOSYS), SeccompAction::Allow)?,
    ])
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn make(
    calls: impl Iterator<Item = i64>,
    others: SeccompAction,
    these: SeccompAction,
) -> io::Result<BpfProgram> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let rules: BTreeMap<_, _> = calls.map(|call| (call, Vec::new())).collect();
    SeccompFilter::new(rules, others, these, architecture)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}
