//! What nspawn's own system call filter leaves open and no sandbox needs: kinds of sockets that know no
//! network namespace, so that they would lead out of `network = "none"` (to a hypervisor, or to other
//! machines of the host), kinds that only make the kernel load rarely used modules, and `io_uring`,
//! which makes sockets where no filter sees it.
//!
//! The program is put on before nspawn is executed, so it is on everything in the container.

use std::io;

use seccompiler::{BpfProgram, sock_filter};

/// `UNIX`, `INET`, `INET6`, `NETLINK`, `PACKET`: what programs use, and what is the namespace's own.
const FAMILIES: [u32; 5] = [1, 2, 10, 16, 17];
/// `io_uring_setup`, `io_uring_enter`, `io_uring_register`: the same numbers on every machine.
const URING: [u32; 3] = [425, 426, 427];

/// A kind of system calls.
struct Calls {
    /// `AUDIT_ARCH_*`.
    architecture: u32,
    /// `socket` and `socketpair`.
    sockets: [u32; 2],
    /// The one call for everything about sockets, whose arguments no filter sees. Programs that still
    /// use it find the others when it is not there.
    socketcall: Option<u32>,
}

#[cfg(target_arch = "x86_64")]
const MACHINE: &[Calls] = &[
    Calls {
        architecture: 0xc000_003e,
        sockets: [41, 53],
        socketcall: None,
    },
    Calls {
        architecture: 0x4000_0003,
        sockets: [359, 360],
        socketcall: Some(102),
    },
];
#[cfg(target_arch = "aarch64")]
const MACHINE: &[Calls] = &[
    Calls {
        architecture: 0xc000_00b7,
        sockets: [198, 199],
        socketcall: None,
    },
    Calls {
        architecture: 0x4000_0028,
        sockets: [281, 288],
        socketcall: Some(102),
    },
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the numbers of socket and socketpair are not known for this machine");

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const CALL: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
/// Marks the calls of x32, which are those of x86-64 otherwise.
const X32: u32 = 0x4000_0000;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// The program.
pub fn program() -> BpfProgram {
    let mut program = vec![statement(LOAD, ARCHITECTURE)];
    for calls in MACHINE {
        let block = block(calls);
        let length = u8::try_from(block.len()).unwrap_or(u8::MAX);
        program.push(jump(calls.architecture, 0, length));
        program.extend(block);
    }
    program.push(statement(RETURN, ALLOW));
    program
}

/// Puts this process under the program, and takes new privileges from it.
///
/// # Errors
/// The kernel refuses.
pub fn install() -> io::Result<()> {
    seccompiler::apply_filter(&program()).map_err(io::Error::other)
}

/// What follows once the architecture is known. It ends with the three answers.
fn block(calls: &Calls) -> Vec<sock_filter> {
    let missing: Vec<u32> = URING.into_iter().chain(calls.socketcall).collect();
    let families = u8::try_from(FAMILIES.len()).unwrap_or(u8::MAX);
    let misses = u8::try_from(missing.len()).unwrap_or(u8::MAX);
    let mut block = vec![statement(LOAD, CALL), statement(AND, !X32)];
    // Behind the calls comes a way to "allow", then the judgement of the family.
    block.push(jump(calls.sockets[0], misses + 2, 0));
    block.push(jump(calls.sockets[1], misses + 1, 0));
    for (at, call) in (0..).zip(&missing) {
        // Over the rest of these, the answer "allow", the judgement and its two answers.
        let over = (misses - 1 - at) + 1 + 1 + families + 2;
        block.push(jump(*call, over, 0));
    }
    block.push(statement(RETURN, ALLOW));
    block.push(statement(LOAD, FIRST_ARGUMENT));
    for (at, family) in (0..).zip(FAMILIES) {
        // Over the rest of these, and the refusal.
        block.push(jump(family, families - at, 0));
    }
    block.push(statement(RETURN, ERRNO | libc::EAFNOSUPPORT.unsigned_abs()));
    block.push(statement(RETURN, ALLOW));
    block.push(statement(RETURN, ERRNO | libc::ENOSYS.unsigned_abs()));
    block
}

const fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

const fn jump(k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: JUMP_EQUAL,
        jt,
        jf,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel does.
    fn answer(architecture: u32, call: u32, first: u32) -> u32 {
        let program = program();
        let (mut at, mut value) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            match step.code {
                LOAD => {
                    value = match step.k {
                        CALL => call,
                        ARCHITECTURE => architecture,
                        FIRST_ARGUMENT => first,
                        other => panic!("loads {other}"),
                    }
                }
                AND => value &= step.k,
                JUMP_EQUAL if value == step.k => at += usize::from(step.jt),
                JUMP_EQUAL => at += usize::from(step.jf),
                RETURN => return step.k,
                other => panic!("unknown instruction {other}"),
            }
        }
    }

    #[test]
    fn sockets_by_family_and_no_io_uring() {
        let refused = ERRNO | libc::EAFNOSUPPORT.unsigned_abs();
        let missing = ERRNO | libc::ENOSYS.unsigned_abs();
        for calls in MACHINE {
            for socket in calls.sockets {
                for call in [socket, socket | X32] {
                    for family in 0..64 {
                        let expected = if FAMILIES.contains(&family) {
                            ALLOW
                        } else {
                            refused
                        };
                        let judged = answer(calls.architecture, call, family);
                        assert_eq!(judged, expected, "family {family}");
                    }
                }
            }
            for call in URING.into_iter().chain(calls.socketcall) {
                assert_eq!(answer(calls.architecture, call, 1), missing, "{call}");
            }
            for call in (0..470).filter(|call| {
                !URING.contains(call)
                    && !calls.sockets.contains(call)
                    && calls.socketcall != Some(*call)
            }) {
                assert_eq!(answer(calls.architecture, call, 40), ALLOW, "{call}");
            }
        }
        assert_eq!(answer(7, 41, 40), ALLOW);
    }
}
