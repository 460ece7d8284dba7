//! Makes foreign text safe to show: whatever would move a cursor, reorder a line or hide is written
//! out instead.

/// Text that may stand in one line.
pub fn text(foreign: &str) -> String {
    let mut shown = String::with_capacity(foreign.len());
    for c in foreign.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Text of several lines: line feeds and backslashes stay.
pub fn lines(foreign: &str) -> String {
    let mut shown = String::with_capacity(foreign.len());
    for c in foreign.chars() {
        if c != '\n' && acts(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Tells whether a terminal does something else with it than show it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_written_out() {
        for (given, shown) in [
            ("plain \"text\" ä 日本", "plain \"text\" ä 日本"),
            ("\x1b[2J\x07", r"\u{1b}[2J\u{7}"),
            ("a\nb\tc\r\\", r"a\nb\tc\r\\"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("\u{202e}txt.exe", r"\u{202e}txt.exe"),
            ("a\u{200b}b", r"a\u{200b}b"),
            ("a\0", r"a\u{0}"),
        ] {
            assert_eq!(text(given), shown);
        }
        assert_eq!(lines("a\n\x1b\\"), "a\n\\u{1b}\\");
    }
}
