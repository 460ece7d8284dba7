//! Asks for the token on the terminal without showing it. `claude setup-token` wraps the token on a
//! narrow terminal, so what is pasted may have several lines: a line feed ends the input only when
//! nothing follows it at once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use forage_api::{Secret, exit};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use super::MAX_BYTES;
use crate::Error;
use crate::exec::poll_again;
use crate::signals::Signals;

const QUESTION: &str = "Paste the token (it is not shown), then press Enter: ";
/// How long the rest of a paste may take to arrive after a line feed.
const GRACE: Duration = Duration::from_millis(200);

/// Asks on the terminal.
pub(super) fn ask() -> Result<Secret, Error> {
    let terminal = rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| cannot_ask(&error.into()))?;
    let signals = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];
    let signals = Signals::take(&signals).map_err(|error| cannot_ask(&error))?;
    ask_on(&terminal, &signals, GRACE)
}

fn cannot_ask(error: &io::Error) -> Error {
    Error::system("the terminal cannot be asked for the token", error)
        .hint("forage-ctl claude token store - reads standard input")
}

fn ask_on(terminal: &OwnedFd, signals: &Signals, grace: Duration) -> Result<Secret, Error> {
    let failed = |error: io::Error| cannot_ask(&error);
    let quiet = Quiet::begin(terminal).map_err(failed)?;
    write(terminal, QUESTION).map_err(failed)?;
    let answer = read(terminal, signals, grace);
    drop(quiet);
    write(terminal, "\n").map_err(failed)?;
    match answer.map_err(failed)? {
        Answer::Given(secret) => Ok(secret),
        Answer::Interrupted(signal) => Err(Error::new(
            exit::SIGNAL_BASE.saturating_add(signal),
            "interrupted: nothing was stored",
        )),
    }
}

fn write(terminal: &OwnedFd, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(terminal, rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

/// A terminal that shows nothing and gives each byte as it comes, until this is dropped.
struct Quiet<'a> {
    terminal: &'a OwnedFd,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Drain, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // What still arrives of a paste must not reach the shell. If the terminal has gone, there
        // is nothing to restore.
        let _gone = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

enum Answer {
    Given(Secret),
    Interrupted(u8),
}

fn read(terminal: &OwnedFd, signals: &Signals, grace: Duration) -> io::Result<Answer> {
    let mut given = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    let mut chunk = Zeroizing::new([0; 4096]);
    loop {
        let pause = given.last() == Some(&b'\n');
        let mut fds = [
            PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if poll_again(&mut fds, pause.then_some(grace))? == 0 {
            break;
        }
        if let Some(signal) = signals.next() {
            return Ok(Answer::Interrupted(u8::try_from(signal).unwrap_or(0)));
        }
        let length = rustix::io::retry_on_intr(|| rustix::io::read(terminal, &mut chunk[..]))?;
        if length == 0 || !type_in(&mut given, &chunk[..length]) {
            break;
        }
    }
    Ok(Answer::Given(Secret::joined(&[given.as_slice()])))
}

/// Takes bytes as a terminal's line editing would. `false` ends the input.
fn type_in(given: &mut Vec<u8>, bytes: &[u8]) -> bool {
    const END: u8 = 4;
    const RUB_OUT: [u8; 2] = [8, 127];
    const KILL: u8 = 21;
    for &byte in bytes {
        match byte {
            END => return false,
            KILL => given.clear(),
            byte if RUB_OUT.contains(&byte) => {
                given.pop();
            }
            // An Enter before anything is typed waits for more.
            b'\r' | b'\n' if given.is_empty() => {}
            b'\r' => given.push(b'\n'),
            // The buffer never grows, so it leaves no copy behind; what is too long is refused.
            byte if given.len() <= MAX_BYTES => given.push(byte),
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::thread;

    /// Types pieces, each when the one before was read; gives the answer and what the terminal showed.
    fn typed(pieces: &[&[u8]], grace: Duration) -> (Result<Secret, Error>, String) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut keys = File::from(pty.master);
        let mut screen = keys.try_clone().unwrap();
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let terminal = pty.slave;
        let unread = terminal.try_clone().unwrap();
        let asked = thread::spawn(move || {
            let signals = Signals::take(&[Signal::SIGUSR2]).unwrap();
            let answer = ask_on(&terminal, &signals, grace);
            let modes = tcgetattr(&terminal).unwrap().local_modes;
            assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON));
            answer
        });
        let mut shown = vec![0; QUESTION.len()];
        screen.read_exact(&mut shown).unwrap();
        for piece in pieces {
            keys.write_all(&piece).unwrap();
            while !asked.is_finished() && rustix::io::ioctl_fionread(&unread).unwrap() > 0 {
                thread::yield_now();
            }
        }
        let answer = asked.join().unwrap();
        let mut rest = [0; 100];
        let length = screen.read(&mut rest).unwrap_or(0);
        shown.extend_from_slice(&rest[..length]);
        (answer, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn nothing_typed_is_shown() {
        let (answer, shown) = typed(&[b"sk-ant-oat01-CANARY\n"], GRACE);
        assert_eq!(answer.ok().unwrap().expose(), b"sk-ant-oat01-CANARY\n");
        assert_eq!(shown, format!("{QUESTION}\r\n"));
    }

    #[test]
    fn a_wrapped_paste_is_taken_whole() {
        const LONG: Duration = Duration::from_secs(600);
        for (pieces, grace) in [
            (&[&b"one\ntwo\nthree\n"[..]][..], GRACE),
            (&[b"one\ntwo\nthree", b"\r\x04"], LONG),
            (&[b"one\r", b"two\rth", b"ree\r\x04"], LONG),
            (&[b"\n", b"one\ntwo\nthrex\x7fe\n\x04"], LONG),
            (&[b"wrong\x15one\ntwo\nthree\n\x04"], LONG),
        ] {
            let (answer, _) = typed(pieces, grace);
            assert_eq!(answer.ok().unwrap().expose(), b"one\ntwo\nthree\n");
        }
    }

    #[test]
    fn an_end_of_input_gives_nothing() {
        assert!(typed(&[b"\x04"], GRACE).0.ok().unwrap().is_empty());
    }

    #[test]
    fn too_much_is_cut_where_it_is_refused() {
        let mut given = Vec::new();
        assert!(!type_in(&mut given, &vec![b'x'; 2 * MAX_BYTES]));
        assert_eq!(given.len(), MAX_BYTES + 1);
    }
}
