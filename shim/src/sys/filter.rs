//! Reading the system call filters of another process.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use forage_api::shim::frame;
use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;
use seccompiler::sock_filter;

use super::process::{Fork, die_with_parent, exit, fork};
use super::time::{Deadline, poll_one};

/// One filter, as the kernel runs it.
pub type Program = Vec<sock_filter>;

const INSTRUCTION: usize = 8;

/// Reads every filter a process is under, oldest first. The process is stopped for a moment; a child
/// does that, since it could be stuck where no one can stop it.
///
/// # Errors
/// What the kernel says (`EACCES` where this process is under a filter itself), and `TimedOut`.
pub fn filters_of(process: Pid) -> io::Result<Vec<Program>> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    match fork()? {
        Fork::Child => {
            let sent = super::fds::close_all_but(&[theirs.as_fd()])
                .and_then(|()| die_with_parent())
                .and_then(|()| report(process, theirs.as_fd()));
            exit(i32::from(sent.is_err()))
        }
        Fork::Parent(child) => {
            drop(theirs);
            let received = receive(ours.as_fd());
            child.end();
            received
        }
    }
}

fn report(process: Pid, socket: BorrowedFd<'_>) -> io::Result<()> {
    let (lengths, bytes) = match trace::read_filters(process) {
        Ok(programs) => {
            let lengths: Vec<usize> = programs.iter().map(Vec::len).collect();
            (Ok(lengths), programs.concat())
        }
        Err(error) => (Err(error.raw_os_error().unwrap_or(0)), Vec::new()),
    };
    let raw: Vec<u8> = bytes.iter().flat_map(to_bytes).collect();
    frame::send(socket, &lengths, &raw, &[])
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<Vec<Program>> {
    let deadline = Deadline::after(Duration::from_secs(2));
    let mut decoder = frame::Decoder::default();
    let frame = loop {
        if let Some(frame) = decoder.next_frame()? {
            break frame;
        }
        if !poll_one(socket, PollFlags::IN, deadline)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !decoder.receive(socket)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let lengths: Result<Vec<usize>, i32> = frame.message()?;
    let lengths = lengths.map_err(io::Error::from_raw_os_error)?;
    let mut instructions = frame.raw.expose().chunks_exact(INSTRUCTION).map(from_bytes);
    Ok(lengths
        .into_iter()
        .map(|length| instructions.by_ref().take(length).collect())
        .collect())
}

fn to_bytes(instruction: &sock_filter) -> [u8; INSTRUCTION] {
    let mut bytes = [0; INSTRUCTION];
    bytes[..2].copy_from_slice(&instruction.code.to_ne_bytes());
    bytes[2] = instruction.jt;
    bytes[3] = instruction.jf;
    bytes[4..].copy_from_slice(&instruction.k.to_ne_bytes());
    bytes
}

fn from_bytes(bytes: &[u8]) -> sock_filter {
    sock_filter {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

mod trace {
    //! The trace calls themselves.
    #![expect(unsafe_code, reason = "ptrace has no safe form for these requests")]

    use super::{Pid, Program, io, sock_filter};

    const PTRACE_SEIZE: libc::c_uint = 0x4206;
    const PTRACE_INTERRUPT: libc::c_uint = 0x4207;
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;

    /// Stops the process and reads its filters. This process must end afterwards: that detaches it.
    pub(super) fn read_filters(process: Pid) -> io::Result<Vec<Program>> {
        request(PTRACE_SEIZE, process, 0, std::ptr::null_mut())?;
        request(PTRACE_INTERRUPT, process, 0, std::ptr::null_mut())?;
        wait_for_stop(process)?;
        let mut programs = Vec::new();
        loop {
            match read_filter(process, programs.len()) {
                Ok(program) => programs.push(program),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(programs),
                Err(error) => return Err(error),
            }
        }
    }

    fn read_filter(process: Pid, index: usize) -> io::Result<Program> {
        let length = request(
            PTRACE_SECCOMP_GET_FILTER,
            process,
            index,
            std::ptr::null_mut(),
        )?;
        let blank = sock_filter {
            code: 0,
            jt: 0,
            jf: 0,
            k: 0,
        };
        // A process cannot get rid of a filter or change it, so the length still holds.
        let mut program = vec![blank; usize::try_from(length).unwrap_or_default()];
        request(
            PTRACE_SECCOMP_GET_FILTER,
            process,
            index,
            program.as_mut_ptr().cast(),
        )?;
        Ok(program)
    }

    fn request(
        request: libc::c_uint,
        process: Pid,
        address: usize,
        data: *mut libc::c_void,
    ) -> io::Result<libc::c_long> {
        // SAFETY: the requests used here read no memory of ours; the one that writes does so to
        // `data`, a buffer of the length the kernel gave for this very filter, or null.
        let result =
            unsafe { libc::ptrace(request, process.as_raw_nonzero().get(), address, data) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result)
        }
    }

    fn wait_for_stop(process: Pid) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: `status` is where the kernel writes one integer.
        let pid = unsafe {
            libc::waitpid(
                process.as_raw_nonzero().get(),
                &raw mut status,
                libc::__WALL,
            )
        };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::WIFSTOPPED(status) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    }
}
