//! Giving up rights for good.

use std::io;

use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

/// Becomes an ordinary user in every respect: groups, ids, no capability, nothing to gain by
/// executing, no one may trace. The system's calls act on one thread; the shim has no other.
///
/// # Errors
/// What the system says. The caller must not go on then.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let invalid = u32::MAX;
    if uid == 0 || uid == invalid || gid == invalid {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let groups: Vec<Gid> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    clear_ambient_capability_set()?;
    // The kernel clears them by itself only when the old uid was root of the very namespace.
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    set_no_new_privs(true)?;
    // Changing ids made the process as traceable as a sysctl says.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Becomes root of the user namespace it is in, with these capabilities at most, now and later.
///
/// # Errors
/// What the system says. The caller must not go on then.
pub fn become_root(capabilities: CapabilitySet) -> io::Result<()> {
    limit_bounding_set(capabilities)?;
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_groups(&[gid])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: capabilities,
            permitted: capabilities,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_no_new_privs(true)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Empties the bounding set, so that no file can ever bring a capability back.
///
/// # Errors
/// What `prctl` says.
pub fn empty_bounding_set() -> io::Result<()> {
    limit_bounding_set(CapabilitySet::empty())
}

fn limit_bounding_set(keep: CapabilitySet) -> io::Result<()> {
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The first number this kernel has no capability for.
            Err(rustix::io::Errno::INVAL) if number > 0 => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
