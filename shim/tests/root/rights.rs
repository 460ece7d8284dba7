//! Giving up rights, and reading another process's filters.

use std::fs;
use std::io;

use forage_shim::sys::filter::filters_of;
use forage_shim::sys::privileges::{become_user, empty_bounding_set};
use forage_shim::sys::process::{Fork, exit, fork};

use crate::host::enter;

/// Runs something in a process of its own, which ends with the status it gives.
fn apart(run: impl FnOnce() -> io::Result<bool>) {
    match fork().unwrap() {
        Fork::Child => exit(match run() {
            Ok(true) => 0,
            Ok(false) => 1,
            Err(error) => error.raw_os_error().unwrap_or(255),
        }),
        Fork::Parent(child) => assert_eq!(child.wait().unwrap().exit_status(), Some(0)),
    }
}

#[test]
fn a_process_that_became_a_user_has_nothing_left() {
    let Some(()) = enter() else { return };
    apart(|| {
        empty_bounding_set()?;
        become_user(4242, 4243, &[4244])?;
        // Its memory is no one's to read, so neither are its files in /proc; status is.
        let status = fs::read_to_string("/proc/thread-self/status")?;
        let expected = [
            "Uid:\t4242\t4242\t4242\t4242",
            "Gid:\t4243\t4243\t4243\t4243",
            "Groups:\t4244 ",
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
        ];
        let all = expected
            .iter()
            .all(|line| status.lines().any(|l| l == *line));
        Ok(all && fs::read("/proc/self/environ").is_err())
    });
    apart(|| Ok(become_user(0, 4243, &[]).is_err()));
}

#[test]
fn the_filters_of_another_process_are_read_oldest_first() {
    let Some(()) = enter() else { return };
    let (started, tell) = rustix::pipe::pipe().unwrap();
    let (wait, end) = rustix::pipe::pipe().unwrap();
    let program = |value: u32| {
        vec![seccompiler::sock_filter {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: 0x7fff_0000 | value,
        }]
    };
    let filters = [program(1), program(2), program(3)];
    match fork().unwrap() {
        Fork::Child => {
            drop(end);
            for filter in &filters {
                seccompiler::apply_filter(filter).unwrap();
            }
            rustix::io::write(&tell, b".").unwrap();
            exit(rustix::io::read(&wait, &mut [0_u8]).map_or(1, |_| 0))
        }
        Fork::Parent(child) => {
            rustix::io::read(&started, &mut [0_u8]).unwrap();
            let read = filters_of(child.pid());
            drop((end, wait));
            child.wait().unwrap();
            match read {
                Ok(read) => assert!(read == filters),
                // A machine that is under a filter itself, as in a container.
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EACCES)),
            }
        }
    }
}
