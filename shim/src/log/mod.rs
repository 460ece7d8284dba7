//! The log of a sandbox's run, for its owner: the shim's steps, what systemd-nspawn says, and what the
//! container writes to its console, which is anyone's text and may be any amount. It never holds more
//! than two files' worth, takes no more than so much at a time, and whatever becomes of the disk it
//! lies on, the sandbox does not notice: what cannot be written is left out, and counted.

mod budget;
mod file;
mod text;

use forage_api::ident::SandboxId;
use jiff::Timestamp;

use budget::Budget;
use file::Files;
pub use text::{Lines, plain};

/// Who says a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The shim.
    Shim,
    /// systemd-nspawn.
    Nspawn,
    /// The container's console.
    Console,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Shim => "shim",
            Self::Nspawn => "nspawn",
            Self::Console => "console",
        }
    }
}

/// The log of one run.
#[derive(Debug)]
pub struct RunLog {
    files: Files,
    /// Whether the log of the run before has been put aside.
    begun: bool,
    /// What was said before that.
    early: String,
    console: Lines,
    budget: Budget,
    /// How much of the console was left out since that was last said, in bytes.
    left_out: u64,
    /// Whether it was said that the disk does not take it.
    complained: bool,
}

impl RunLog {
    /// Makes one. Nothing is written before [`begin`](Self::begin): a start that is refused changes
    /// nothing.
    pub fn new(id: SandboxId) -> Self {
        Self::at(Files::of(id))
    }

    fn at(files: Files) -> Self {
        Self {
            files,
            begun: false,
            early: String::new(),
            console: Lines::default(),
            budget: Budget::full(),
            left_out: 0,
            complained: false,
        }
    }

    /// Puts the log of the run before aside and begins a new one, which members of the daemon's group
    /// can read.
    pub fn begin(&mut self, daemon_gid: u32) {
        self.begun = true;
        self.files.belong_to(daemon_gid);
        if let Err(error) = self.files.rotate() {
            self.complain(&error);
        }
        let early = std::mem::take(&mut self.early);
        self.write(&early);
    }

    /// Tells whether there is a log of this run.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Writes something of the shim's own.
    pub fn note(&mut self, text: &str) {
        self.say(Source::Shim, text);
    }

    /// Writes a line. There are few of these; only the console may be any amount.
    pub fn say(&mut self, source: Source, text: &str) {
        let mut lines = String::new();
        line(&mut lines, source, &plain(text));
        if self.begun {
            self.write(&lines);
        } else {
            self.early.push_str(&lines);
        }
    }

    /// Takes what the container wrote to its console.
    pub fn console(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut said = String::new();
        self.console
            .take(bytes, |text| line(&mut said, Source::Console, text));
        // What counts is what would be written: a short line is longer with its time.
        if !self.budget.take(said.len()) {
            self.left_out = self.left_out.saturating_add(bytes.len() as u64);
            self.console = Lines::default();
            return;
        }
        if !said.is_empty() {
            let mut lines = String::new();
            self.say_left_out(&mut lines);
            self.write(&(lines + &said));
        }
    }

    /// Writes what is left of the console: the line that was not ended, and, where something was left
    /// out, its last lines, which are what says why it ended.
    pub fn end_console(&mut self, last: &[String]) {
        let mut lines = String::new();
        self.console
            .finish(|text| line(&mut lines, Source::Console, text));
        if self.left_out > 0 {
            self.say_left_out(&mut lines);
            for text in last {
                line(&mut lines, Source::Console, text);
            }
        }
        self.write(&lines);
    }

    fn say_left_out(&mut self, lines: &mut String) {
        if self.left_out > 0 {
            let text = format!("{} bytes of the console were left out", self.left_out);
            line(lines, Source::Shim, &text);
            self.left_out = 0;
        }
    }

    fn write(&mut self, lines: &str) {
        if let Err(error) = self.files.append(lines) {
            self.complain(&error);
        }
    }

    /// Once is enough: what was lost is in the journal, but for the console.
    fn complain(&mut self, error: &std::io::Error) {
        if !self.complained {
            self.complained = true;
            tracing::warn!(
                FORAGE_EVENT = "log",
                "cannot write the sandbox's log, leaving out what cannot be written: {}",
                crate::fail::reason(error)
            );
        }
    }
}

/// Adds how a run ended that did not live to say so itself.
///
/// # Errors
/// What the file system says.
pub fn note_end(id: SandboxId, daemon_gid: u32, text: &str) -> std::io::Result<()> {
    let mut files = Files::of(id);
    files.belong_to(daemon_gid);
    let mut lines = String::new();
    line(&mut lines, Source::Shim, &plain(text));
    files.append(&lines)
}

/// Removes the log of a sandbox.
///
/// # Errors
/// What the file system says.
pub fn remove(id: SandboxId) -> std::io::Result<()> {
    Files::of(id).remove()
}

fn line(lines: &mut String, source: Source, text: &str) {
    let time = Timestamp::now();
    *lines += &format!("{time:.3} {:<7}  {text}\n", source.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn log(directory: &Path) -> RunLog {
        RunLog::at(Files::in_directory(directory, SandboxId::new(0xabc)))
    }

    fn own_gid() -> u32 {
        nix::unistd::getgid().as_raw()
    }

    /// The lines of a file without their times.
    fn read(directory: &Path, name: &str) -> Vec<String> {
        let text = fs::read_to_string(directory.join(name)).unwrap();
        let after = |line: &str| line.split_once(' ').unwrap().1.to_owned();
        text.lines().map(after).collect()
    }

    #[test]
    fn a_refused_start_leaves_the_log_of_the_run_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut first = log(path);
        first.note("checking");
        first.begin(own_gid());
        first.note("stopped");
        log(path).note("checking");
        assert_eq!(
            read(path, "00000abc"),
            ["shim     checking", "shim     stopped"]
        );
        let mut next = log(path);
        next.begin(own_gid());
        next.say(Source::Nspawn, "hello");
        assert_eq!(read(path, "00000abc"), ["nspawn   hello"]);
        assert_eq!(read(path, "00000abc.1").len(), 2);
        next.files.remove().unwrap();
        next.files.remove().unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn a_console_that_is_flooded_is_cut_off_and_its_end_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut flooded = log(path);
        flooded.begin(own_gid());
        for spam in ["all work and no play\n", "a\n"] {
            for _ in 0..2000 {
                flooded.console(spam.repeat(200).as_bytes());
            }
        }
        // More than there is ever room for.
        flooded.console("a\n".repeat(100_000).as_bytes());
        flooded.end_console(&["the last words".to_owned()]);
        let all: u64 = ["00000abc", "00000abc.1"]
            .iter()
            .map(|name| fs::metadata(path.join(name)).map_or(0, |meta| meta.len()))
            .sum();
        assert!(all <= 2 * file::MOST, "{all}");
        let lines = read(path, "00000abc");
        let end = &lines[lines.len() - 2..];
        assert!(
            end[0].ends_with("bytes of the console were left out"),
            "{end:?}"
        );
        assert_eq!(end[1], "console  the last words");
    }

    #[test]
    fn a_disk_that_takes_nothing_is_no_reason_to_fail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a-file");
        fs::write(&path, "").unwrap();
        let mut lost = log(&path);
        lost.begin(own_gid());
        lost.note("one");
        lost.console(b"two\n");
        lost.end_console(&[]);
        assert!(lost.complained);
        // When it takes something again, it is given it.
        fs::remove_file(&path).unwrap();
        lost.note("three");
        assert_eq!(read(&path, "00000abc"), ["shim     three"]);
    }
}
