//! What the container writes to its console. It is anyone's text and may be any amount, so it does
//! not go to the journal, where it would pass for the shim's words and use up the unit's share: only
//! the end of it is kept, for the case that the container does not come up.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

/// How much is kept, in bytes.
const KEPT: usize = 4096;
/// How much of a line is shown, in characters.
const WIDTH: usize = 256;

/// The console, as the shim reads it.
#[derive(Debug)]
pub struct Console {
    pipe: File,
    tail: VecDeque<u8>,
    ended: bool,
}

impl Console {
    /// Makes a console, and the end of it that is written to.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        let console = Self {
            pipe: read.into(),
            tail: VecDeque::new(),
            ended: false,
        };
        Ok((console, write))
    }

    /// Takes what was written, a limited amount at a time.
    pub fn drain(&mut self) {
        let mut chunk = [0; KEPT];
        match self.pipe.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(length) => {
                self.tail.extend(&chunk[..length]);
                let excess = self.tail.len().saturating_sub(KEPT);
                self.tail.drain(..excess);
            }
            Err(_) => {}
        }
    }

    /// Tells whether more can come.
    pub fn is_open(&self) -> bool {
        !self.ended
    }

    /// The last lines, made harmless.
    pub fn last_lines(&mut self, most: usize) -> Vec<String> {
        self.drain();
        let text = String::from_utf8_lossy(self.tail.make_contiguous()).into_owned();
        let lines = text.split(['\r', '\n']).map(plain);
        let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// A line without what a terminal would act on.
fn plain(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' {
            // The usual sequence ends with a letter.
            rest.by_ref().take(16).find(char::is_ascii_alphabetic);
        } else if !character.is_control() {
            shown.push(character);
        }
    }
    shown.trim().chars().take(WIDTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_end_is_kept_and_made_harmless() {
        let (mut console, write) = Console::new().unwrap();
        console.drain();
        assert!(console.is_open() && console.last_lines(9).is_empty());
        let mut write = File::from(write);
        for _ in 0..3000 {
            writeln!(write, "some line").unwrap();
            console.drain();
        }
        write
            .write_all(b"\x1b[0;1;31mFailed\x1b[0m to\x07 start \xff\r\n\n\tlast")
            .unwrap();
        let lines = console.last_lines(3);
        assert_eq!(lines, ["some line", "Failed to start \u{fffd}", "last"]);
        assert!(console.tail.len() <= KEPT);
        drop(write);
        console.drain();
        assert!(!console.is_open());
        assert_eq!(plain(&"x".repeat(1000)).len(), WIDTH);
    }
}
