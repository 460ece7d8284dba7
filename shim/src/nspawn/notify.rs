//! What `systemd-nspawn` reports. It passes on parts of what the container's own first process says,
//! so nothing in a message is believed unchecked, and only nspawn itself is listened to.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::set_socket_passcred,
};
use rustix::process::Pid;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    /// The container says it is ready.
    pub ready: bool,
    /// The container's first process, as the host numbers it.
    pub leader: Option<i32>,
}

/// The socket nspawn reports to.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
}

impl Notify {
    /// Makes the socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        set_socket_passcred(&socket, true)?;
        Ok(Self { socket })
    }

    /// Takes the next message of `sender`; `None` when there is none. Messages of others are
    /// skipped.
    ///
    /// # Errors
    /// What `recvmsg` says.
    pub fn next(&self, sender: Pid) -> io::Result<Option<Said>> {
        loop {
            let mut bytes = [0; 4096];
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(16))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let length = match recvmsg(&self.socket, &mut parts, &mut control, flags) {
                Ok(message) => message.bytes,
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // Descriptors that came along are closed by dropping them.
            let trusted = control.drain().any(|part| {
                matches!(part, RecvAncillaryMessage::ScmCredentials(c) if c.pid == sender && c.uid.is_root())
            });
            if trusted {
                return Ok(Some(parse(&bytes[..length])));
            }
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn parse(message: &[u8]) -> Said {
    let mut said = Said::default();
    for line in message.split(|&byte| byte == b'\n') {
        if line == b"READY=1" {
            said.ready = true;
        }
        if let Some(number) = line.strip_prefix(b"X_NSPAWN_LEADER_PID=") {
            let number = std::str::from_utf8(number).ok();
            said.leader = number
                .and_then(|n| n.parse().ok())
                .filter(|&pid: &i32| pid > 1);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let said = |ready, leader| Said { ready, leader };
        for (message, expected) in [
            (&b"READY=1\nSTATUS=Container running."[..], said(true, None)),
            (
                b"STATUS=x\nX_NSPAWN_LEADER_PID=4711\n",
                said(false, Some(4711)),
            ),
            (b"STATUS=READY=1", said(false, None)),
            (b"READY=10", said(false, None)),
            (b"X_NSPAWN_LEADER_PID=1", said(false, None)),
            (b"X_NSPAWN_LEADER_PID=-5\nREADY=1", said(true, None)),
            (b"X_NSPAWN_LEADER_PID=\xff", said(false, None)),
            (b"MAINPID=1\nFDSTORE=1\nWATCHDOG=1", said(false, None)),
            (b"", said(false, None)),
        ] {
            assert_eq!(parse(message), expected);
        }
    }

    #[test]
    fn only_the_sender_is_heard() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let notify = Notify::listen(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let me = rustix::process::getpid();
        let other = Pid::from_raw(me.as_raw_nonzero().get() + 1).unwrap();
        sender.send_to(b"READY=1", &path).unwrap();
        assert_eq!(notify.next(other).unwrap(), None);
        sender.send_to(b"READY=1", &path).unwrap();
        let heard = notify.next(me).unwrap().is_some();
        assert_eq!(heard, rustix::process::geteuid().is_root());
    }
}
