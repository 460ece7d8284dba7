//! The log of a sandbox's last start and run, which its shim keeps. The daemon opens the files; they
//! are read here, and again as they grow. When one is full it is put aside and another begun: then the
//! daemon is asked again.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::Duration;

use forage_api::bus::{ManagerProxy, OwnerOptions};
use forage_api::exit;

use super::screen::Screen;
use crate::args::Logs;
use crate::bus::{Bus, Reason, Watch, failed};
use crate::verbs::wait;
use crate::{Error, output};

/// How often it is looked whether a file has grown.
const LOOK: Duration = Duration::from_millis(250);
/// How much of a file is read at most, in bytes: more than the shim ever writes.
const MOST: u64 = 4 * 1024 * 1024;
/// How many lines are shown first of a log that is followed.
const FIRST_LINES: usize = 10;

/// Shows it.
pub(super) fn show(
    bus: &Bus,
    name: &str,
    options: &OwnerOptions,
    arguments: &Logs,
) -> Result<u8, Error> {
    let mut reader = Reader {
        screen: Screen::own(),
        lines: arguments.lines.or(arguments.follow.then_some(FIRST_LINES)),
        at: None,
    };
    if !arguments.follow {
        let files = bus.manager(async |manager| manager.logs(name, options).await)?;
        if files.is_empty() {
            output::note(&format!("sandbox {name} has not run yet\n"));
        }
        reader.first(files)?;
        reader.screen.end()?;
        return Ok(exit::OK);
    }
    let watch = Watch {
        sandbox: Some(name),
        pause: LOOK,
    };
    bus.watch(watch, async |manager, reason| {
        let ended = reason == Reason::Change && {
            let state = wait::state(manager, name, options).await?;
            !state.as_deref().is_some_and(goes_on)
        };
        reader.read_on(manager, name, options, ended).await?;
        let closed = reader.screen.is_closed() || output::nobody_reads();
        Ok((ended || closed).then_some(()))
    })?;
    reader.screen.end()?;
    Ok(exit::OK)
}

/// Tells whether a sandbox in this state may still say something.
fn goes_on(state: &str) -> bool {
    !matches!(state, "stopped" | "failed" | "unreadable")
}

/// What has been read.
struct Reader<W> {
    screen: Screen<W>,
    /// How many lines are shown first; all where it is not said.
    lines: Option<usize>,
    /// The newest file, and how far it has been read.
    at: Option<Place>,
}

struct Place {
    file: File,
    offset: u64,
    /// When the file was last changed, as of when that was last asked.
    changed: Option<(i64, i64)>,
}

impl Place {
    fn new(file: File) -> Self {
        Self {
            file,
            offset: 0,
            changed: None,
        }
    }

    /// Tells whether the file has changed since this was last asked, or was not asked yet.
    fn has_changed(&mut self) -> bool {
        let before = self.changed;
        self.changed = changed(&self.file);
        self.changed != before
    }

    /// What there is beyond what has been read.
    fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut chunk = vec![0; 64 * 1024];
        while self.offset < MOST {
            match self.file.read_at(&mut chunk, self.offset) {
                Ok(length) if length > 0 => {
                    all.extend_from_slice(&chunk[..length]);
                    self.offset += length as u64;
                }
                _ => break,
            }
        }
        all
    }
}

fn changed(file: &File) -> Option<(i64, i64)> {
    let meta = file.metadata().ok()?;
    Some((meta.ctime(), meta.ctime_nsec()))
}

fn same(one: &File, other: &File) -> bool {
    let key = |file: &File| file.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    key(one).is_some_and(|key_one| key(other) == Some(key_one))
}

impl<W: std::io::Write> Reader<W> {
    /// Shows what there is at first.
    fn first(&mut self, files: Vec<impl Into<OwnedFd>>) -> Result<(), Error> {
        let mut text = Vec::new();
        for file in files {
            let mut place = Place::new(File::from(file.into()));
            text.extend(place.rest());
            self.at = Some(place);
        }
        let text = self.lines.map_or(&*text, |lines| last_lines(&text, lines));
        self.screen.show(text)
    }

    /// Shows what has come since.
    async fn read_on(
        &mut self,
        manager: &ManagerProxy<'_>,
        name: &str,
        options: &OwnerOptions,
        ended: bool,
    ) -> Result<(), Error> {
        if let Some(place) = &mut self.at {
            let more = place.rest();
            self.screen.show(&more)?;
            // A file that is put aside changes, but does not grow any more. Put aside while the daemon
            // answers, it is seen to have changed next time.
            let aside = more.is_empty() && place.has_changed();
            if !aside && !ended {
                return Ok(());
            }
        }
        let files = manager.logs(name, options).await;
        let files = files.map_err(|error| failed(&error))?;
        self.go_over(files)
    }

    /// Goes on with the files there are now.
    fn go_over(&mut self, files: Vec<impl Into<OwnedFd>>) -> Result<(), Error> {
        let Some(place) = &mut self.at else {
            return self.first(files);
        };
        let files: Vec<File> = files.into_iter().map(|fd| File::from(fd.into())).collect();
        let known = files.iter().position(|file| same(file, &place.file));
        let rest = place.rest();
        self.screen.show(&rest)?;
        let newer = known.map_or(0, |known| known + 1);
        for file in files.into_iter().skip(newer) {
            let mut place = Place::new(file);
            self.screen.show(&place.rest())?;
            self.at = Some(place);
        }
        Ok(())
    }
}

/// The last lines of a text.
fn last_lines(text: &[u8], number: usize) -> &[u8] {
    let ended = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = ended.iter().enumerate().rev();
    let mut ends = ends.filter(|(_, byte)| **byte == b'\n');
    match number.checked_sub(1) {
        None => &[],
        Some(more) => ends.nth(more).map_or(text, |(end, _)| &text[end + 1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines() {
        let text = b"a\nb\nc\n";
        for (number, expected) in [
            (0, ""),
            (1, "c\n"),
            (2, "b\nc\n"),
            (3, "a\nb\nc\n"),
            (9, "a\nb\nc\n"),
        ] {
            assert_eq!(last_lines(text, number), expected.as_bytes());
        }
        assert_eq!(last_lines(b"a\nb", 1), b"b");
        assert_eq!(last_lines(b"", 1), b"");
    }

    fn reader(lines: Option<usize>) -> Reader<Vec<u8>> {
        Reader {
            screen: Screen::to_program(),
            lines,
            at: None,
        }
    }

    #[test]
    fn a_file_may_be_put_aside_before_it_is_first_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("new"), "1\n").unwrap();
        let file = File::open(at("new")).unwrap();
        std::fs::rename(at("new"), at("old")).unwrap();
        let mut place = Place::new(file);
        assert!(place.has_changed());
        assert!(!place.has_changed());
    }

    #[test]
    fn nothing_is_missed_when_a_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let open = |names: &[&str]| -> Vec<OwnedFd> {
            names
                .iter()
                .map(|name| File::open(at(name)).unwrap().into())
                .collect()
        };
        std::fs::write(at("old"), "1\n2\n").unwrap();
        std::fs::write(at("new"), "3\n").unwrap();
        let mut reader = reader(Some(2));
        reader.first(open(&["old", "new"])).unwrap();
        assert_eq!(reader.screen.shown(), b"2\n3\n");
        std::fs::write(at("new"), "3\n4\n").unwrap();
        std::fs::rename(at("new"), at("old")).unwrap();
        std::fs::write(at("new"), "5\n").unwrap();
        reader.go_over(open(&["old", "new"])).unwrap();
        assert_eq!(reader.screen.shown(), b"2\n3\n4\n5\n");
        // Put aside twice meanwhile: what is left is shown.
        std::fs::write(at("other"), "7\n").unwrap();
        std::fs::write(at("newest"), "8\n").unwrap();
        reader.go_over(open(&["other", "newest"])).unwrap();
        reader.go_over(open(&["other", "newest"])).unwrap();
        assert_eq!(reader.screen.shown(), b"2\n3\n4\n5\n7\n8\n");
    }
}
