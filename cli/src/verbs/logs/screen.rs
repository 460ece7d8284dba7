//! Where logs are shown. What a sandbox says is anyone's text: a terminal is shown what would act on
//! it, and a program gets it as it is.

use std::io::{self, IsTerminal as _, Write};

use crate::Error;
use crate::output::escape;

/// Standard output, a line at a time.
#[derive(Debug)]
pub(super) struct Screen<W> {
    out: W,
    terminal: bool,
    /// A line that has not ended.
    partial: Vec<u8>,
    /// Whether nobody reads any more.
    closed: bool,
}

impl Screen<io::Stdout> {
    /// That of this process.
    pub(super) fn own() -> Self {
        Self::new(io::stdout(), io::stdout().is_terminal())
    }
}

impl<W: Write> Screen<W> {
    /// A terminal's.
    pub(super) fn on_terminal(out: W) -> Self {
        Self::new(out, true)
    }

    fn new(out: W, terminal: bool) -> Self {
        Self {
            out,
            terminal,
            partial: Vec::new(),
            closed: false,
        }
    }

    /// Tells whether nobody reads any more: there is no use in going on.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Shows the lines that are ended; what is left waits for its end.
    pub(super) fn show(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.partial.extend_from_slice(bytes);
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            // No end of it in sight: nobody waits for that.
            return if self.partial.len() > 64 * 1024 {
                self.end()
            } else {
                Ok(())
            };
        };
        let rest = self.partial.split_off(end + 1);
        let lines = std::mem::replace(&mut self.partial, rest);
        self.write(&lines)
    }

    /// Shows the line that was not ended.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        let mut rest = std::mem::take(&mut self.partial);
        if rest.is_empty() {
            return Ok(());
        }
        rest.push(b'\n');
        self.write(&rest)
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        let written = if self.terminal {
            let text = String::from_utf8_lossy(lines).replace("\r\n", "\n");
            self.out.write_all(escape::lines(&text).as_bytes())
        } else {
            self.out.write_all(lines)
        };
        match written.and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Error::system(
                "standard output could not be written",
                &error,
            )),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
impl Screen<Vec<u8>> {
    /// One that shows to nobody, as to a program.
    pub(super) fn to_program() -> Self {
        Self::new(Vec::new(), false)
    }

    pub(super) fn shown(&self) -> &[u8] {
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool, chunks: &[&[u8]]) -> Vec<u8> {
        let mut screen = Screen::new(Vec::new(), terminal);
        for chunk in chunks {
            screen.show(chunk).unwrap();
        }
        screen.end().unwrap();
        screen.out
    }

    #[test]
    fn a_terminal_is_not_driven_and_a_program_gets_everything() {
        let hostile: &[&[u8]] = &[b"\x1b]52;c;ZWNo\x07\xc3", b"\xa4\xff\r\n", b"end"];
        assert_eq!(
            String::from_utf8(shown(true, hostile)).unwrap(),
            "\\u{1b}]52;c;ZWNo\\u{7}ä\u{fffd}\nend\n"
        );
        assert_eq!(
            shown(false, hostile),
            b"\x1b]52;c;ZWNo\x07\xc3\xa4\xff\r\nend\n"
        );
        assert_eq!(shown(true, &[]), b"");
    }

    #[test]
    fn a_line_without_end_is_not_waited_for() {
        let mut screen = Screen::new(Vec::new(), true);
        screen.show(&[b'x'; 100 * 1024]).unwrap();
        assert!(screen.partial.is_empty() && screen.out.len() > 100 * 1024);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let mut screen = Screen::new(write, false);
        screen.show(b"x\n").unwrap();
        assert!(screen.is_closed());
    }
}
