//! What people and programs see. Results go to standard output; progress, warnings and errors go to
//! standard error. Text from elsewhere is escaped before it is shown.

pub mod escape;
pub mod json;
pub mod moment;
pub mod paint;
pub mod progress;
pub mod table;

use std::io::{self, IsTerminal as _, Write as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::Error;
use paint::Paint;

/// Writes a result to standard output. A reader that has gone away is no error.
///
/// # Errors
/// The result could not be written.
pub fn result(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::system(
            "standard output could not be written",
            &error,
        )),
        _ => Ok(()),
    }
}

/// Tells whether nobody reads standard output any more. Who writes seldom does not learn it from
/// writing.
pub fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec::default();
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Writes names, each in a line, for other programs to read.
///
/// # Errors
/// They could not be written.
pub fn names<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let lines: Vec<String> = names.map(|name| escape::text(name) + "\n").collect();
    result(&lines.concat())
}

/// Writes a result as JSON.
///
/// # Errors
/// The result could not be written.
pub fn json(value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::failure(format!("the result could not be put as JSON: {error}")))?;
    text.push('\n');
    result(&text)
}

/// Writes text to standard error. There is nobody to tell when that fails.
pub fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ignored = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Prints an error and what to do next.
pub fn error(error: &Error) {
    note(&error_text(error, Paint::of(io::stderr().is_terminal())));
}

fn error_text(error: &Error, paint: Paint) -> String {
    let mut text = labelled(&paint.red("error:"), "error:", &error.message);
    if !error.hint.is_empty() {
        text += &labelled(&paint.bold("hint:"), "hint:", &error.hint);
    }
    text
}

/// Prints a warning.
pub fn warning(message: &str) {
    let paint = Paint::of(io::stderr().is_terminal());
    note(&labelled(&paint.yellow("warning:"), "warning:", message));
}

/// Prints what `-v` asks for: a message, and after it attributes, each behind a tab.
pub fn debug(line: &str) {
    note(&debug_line(line));
}

fn debug_line(line: &str) -> String {
    let mut parts = line.split('\t').map(escape::text);
    let message = parts.next().unwrap_or_default().replace('"', "\\\"");
    let attributes: String = parts.map(|attribute| format!(" {attribute}")).collect();
    format!("level=DEBUG msg=\"{message}\"{attributes}\n")
}

/// A label and a message; further lines of the message stand under its first.
fn labelled(shown: &str, label: &str, message: &str) -> String {
    let mut text = String::new();
    for (number, line) in message.lines().enumerate() {
        if number == 0 {
            text.push_str(shown);
        } else {
            text.push_str(&" ".repeat(label.len()));
        }
        text.push(' ');
        text.push_str(&escape::text(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_with_hints() {
        let error = Error::usage("the \x1b[2J name").hint("try\nagain");
        insta::assert_snapshot!(error_text(&error, Paint::plain()), @r"
        error: the \u{1b}[2J name
        hint: try
              again
        ");
        insta::assert_snapshot!(
            error_text(&error, Paint::coloured()).escape_debug().to_string(),
            @r"\u{1b}[1;31merror:\u{1b}[0m the \\u{1b}[2J name\n\u{1b}[1mhint:\u{1b}[0m try\n      again\n"
        );
        assert_eq!(error_text(&Error::usage("x"), Paint::plain()), "error: x\n");
    }

    #[test]
    fn debug_lines_have_the_form_of_the_specification() {
        assert_eq!(
            debug_line("using stored long-lived Claude OAuth token"),
            "level=DEBUG msg=\"using stored long-lived Claude OAuth token\"\n"
        );
        assert_eq!(
            debug_line("read OAuth token from host login\texpiresIn=7h25m0s"),
            "level=DEBUG msg=\"read OAuth token from host login\" expiresIn=7h25m0s\n"
        );
        assert_eq!(
            debug_line("a \"b\"\nc\\"),
            "level=DEBUG msg=\"a \\\"b\\\"\\nc\\\\\"\n"
        );
    }
}
