//! What the container writes to its console. It is anyone's text and may be any amount, so it does
//! not go to the journal, where it would pass for the shim's words and use up the unit's share: it goes
//! to the run's log, and the end of it is kept for the case that the container does not come up.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::log::plain;

/// How much is kept, in bytes.
const KEPT: usize = 4096;
/// How much is taken at a time.
const CHUNK: usize = 16 * 1024;
/// How often at the end: more than the pipe holds.
const MOST_CHUNKS: usize = 8;
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
    pub fn drain(&mut self) -> Vec<u8> {
        let mut chunk = vec![0; CHUNK];
        match self.pipe.read(&mut chunk) {
            Ok(length) => {
                self.ended = length == 0;
                chunk.truncate(length);
                self.tail.extend(&chunk[length.saturating_sub(KEPT)..]);
                let excess = self.tail.len().saturating_sub(KEPT);
                self.tail.drain(..excess);
            }
            Err(_) => chunk.clear(),
        }
        chunk
    }

    /// Takes everything that was written, after its writers have ended; what they left behind may
    /// write for ever.
    pub fn drain_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..MOST_CHUNKS {
            let chunk = self.drain();
            if chunk.is_empty() {
                break;
            }
            all.extend(chunk);
        }
        all
    }

    /// Tells whether more can come.
    pub fn is_open(&self) -> bool {
        !self.ended
    }

    /// The last lines, made harmless.
    pub fn last_lines(&mut self, most: usize) -> Vec<String> {
        let text = String::from_utf8_lossy(self.tail.make_contiguous()).into_owned();
        let narrow = |line: &str| plain(line).chars().take(WIDTH).collect::<String>();
        let lines = text.split(['\r', '\n']).map(narrow);
        let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_end_is_kept_and_made_harmless() {
        let (mut console, write) = Console::new().unwrap();
        assert!(console.drain().is_empty());
        assert!(console.is_open() && console.last_lines(9).is_empty());
        let mut write = File::from(write);
        for _ in 0..3000 {
            writeln!(write, "some line").unwrap();
            assert_eq!(console.drain(), b"some line\n");
        }
        write
            .write_all(b"\x1b[0;1;31mFailed\x1b[0m to\x07 start \xff\r\n\n\tlast")
            .unwrap();
        assert!(console.drain_all().ends_with(b"last"));
        let lines = console.last_lines(3);
        assert_eq!(lines, ["some line", "Failed to start \u{fffd}", "last"]);
        assert!(console.tail.len() <= KEPT);
        drop(write);
        console.drain();
        assert!(!console.is_open());
    }
}
