//! Anyone's bytes as lines that are harmless to whoever reads them.

/// The longest line, in bytes; a longer one becomes several.
const LONGEST: usize = 1024;

/// Puts bytes together to lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and gives each line that they end.
    pub fn take(&mut self, bytes: &[u8], mut give: impl FnMut(&str)) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                self.finish(&mut give);
            } else {
                self.partial.push(*byte);
                if self.partial.len() >= LONGEST {
                    self.finish(&mut give);
                }
            }
        }
    }

    /// Gives the line that has not been ended.
    pub fn finish(&mut self, mut give: impl FnMut(&str)) {
        let text = plain(&String::from_utf8_lossy(&self.partial));
        self.partial.clear();
        if !text.is_empty() {
            give(&text);
        }
    }
}

/// A line without what a terminal would act on.
pub fn plain(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        match character {
            // The usual sequence ends with a letter.
            '\u{1b}' => {
                rest.by_ref().take(16).find(char::is_ascii_alphabetic);
            }
            '\t' | '\n' => shown.push(' '),
            _ if character.is_control() || reorders(character) => {}
            _ => shown.push(character),
        }
    }
    let mut length = shown.len().min(LONGEST);
    while !shown.is_char_boundary(length) {
        length -= 1;
    }
    shown.truncate(length);
    shown.trim().to_owned()
}

/// Characters that are not seen themselves, but turn the order of a line around or break it.
const fn reorders(character: char) -> bool {
    matches!(
        character,
        '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut all = Vec::new();
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.take(chunk, |line| all.push(line.to_owned()));
        }
        lines.finish(|line| all.push(line.to_owned()));
        all
    }

    #[test]
    fn lines_are_put_together_and_made_harmless() {
        let chunks: [&[u8]; 4] = [
            b"\x1b[0;1;31mFailed\x1b[0m to",
            b"\x07 start \xff\r\n\n\ta\tb\x9b",
            b"\r",
            b"last\0",
        ];
        assert_eq!(
            lines(&chunks),
            ["Failed to start \u{fffd}", "a b\u{fffd}", "last"]
        );
        assert!(lines(&[b"\n\r\n  \n"]).is_empty());
        assert_eq!(plain("a\u{202e}b\u{2066}c\u{2028}d"), "abcd");
    }

    #[test]
    fn no_line_is_long() {
        let split = lines(&[&vec![b'x'; 3 * LONGEST + 1]]);
        let lengths: Vec<usize> = split.iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, LONGEST, 1]);
        // What cannot be read becomes longer as text.
        assert!(lines(&[&[0xff; LONGEST]])[0].len() <= LONGEST);
        assert!(plain(&"ä".repeat(LONGEST)).len() <= LONGEST);
    }

    proptest::proptest! {
        #[test]
        fn nothing_acts_on_a_terminal(bytes: Vec<u8>) {
            for line in lines(&[&bytes]) {
                assert!(!line.chars().any(char::is_control));
                assert!(line.len() <= LONGEST);
            }
        }
    }
}
