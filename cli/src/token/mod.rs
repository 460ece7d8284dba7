//! A token on its way from the user to the daemon: read into memory that is wiped, handed over in
//! memory that nobody can change any more. What makes a token valid is the daemon's to say.

mod memory;
mod prompt;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use forage_api::ident::quoted;
use forage_api::{ErrorKind, Failure, Secret};
use zeroize::Zeroizing;

use crate::Error;

pub use memory::sealed;

/// The most bytes that are read; a token has about a hundred.
pub const MAX_BYTES: usize = 64 * 1024;

/// Where the token comes from.
#[derive(PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "it may hold a token")]
pub enum Source {
    /// The command line.
    Arguments(Vec<OsString>),
    /// Standard input, to its end.
    Input,
    /// A file.
    File(PathBuf),
    /// The terminal.
    Prompt,
}

impl Source {
    /// What the command line says, and whether standard input is a terminal.
    ///
    /// # Errors
    /// Nothing is said, and nobody can be asked.
    pub fn of(
        arguments: Vec<OsString>,
        file: Option<PathBuf>,
        terminal: bool,
    ) -> Result<Self, Error> {
        match file {
            Some(file) => Ok(Self::File(file)),
            None if arguments == ["-"] => Ok(Self::Input),
            None if !arguments.is_empty() => Ok(Self::Arguments(arguments)),
            None if terminal => Ok(Self::Prompt),
            None => Err(Error::usage(
                "no token is given, and standard input is not a terminal to ask on",
            )
            .hint(
                "forage-ctl claude token store -          reads standard input\n\
                 forage-ctl claude token store --file F   reads a file",
            )),
        }
    }

    /// Reads the token.
    ///
    /// # Errors
    /// It cannot be read, is empty, or is far too long.
    pub fn read(self) -> Result<Secret, Error> {
        let secret = match self {
            Self::Arguments(arguments) => join(arguments),
            Self::Input => {
                if io::stdin().is_terminal() {
                    crate::output::note("Paste the token, then press Enter and Ctrl-D.\n");
                }
                read_all(io::stdin().lock(), "standard input")?
            }
            Self::File(path) => read_file(&path)?,
            Self::Prompt => prompt::ask()?,
        };
        if secret.expose().trim_ascii().is_empty() {
            return Err(not_a_token("no token was given: it is empty"));
        }
        if secret.expose().len() > MAX_BYTES {
            return Err(too_long("the token"));
        }
        Ok(secret)
    }
}

/// Whether standard input is a terminal that can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

fn too_long(what: &str) -> Error {
    not_a_token(format!(
        "{what} is longer than {MAX_BYTES} bytes, so it is no token"
    ))
}

fn not_a_token(message: impl Into<String>) -> Error {
    Failure::new(ErrorKind::InvalidToken, message)
        .hint("claude setup-token prints a token of about 108 characters")
        .into()
}

/// Words of the command line; a token that a terminal wrapped arrives as several.
fn join(arguments: Vec<OsString>) -> Secret {
    let words: Vec<Zeroizing<Vec<u8>>> = arguments
        .into_iter()
        .map(|word| Zeroizing::new(word.into_vec()))
        .collect();
    let apart = words.iter().enumerate().flat_map(|(at, word)| {
        let gap: &[u8] = if at == 0 { b"" } else { b"\n" };
        [gap, word.as_slice()]
    });
    Secret::joined(&apart.collect::<Vec<_>>())
}

fn read_file(path: &std::path::Path) -> Result<Secret, Error> {
    let name = format!("the file {}", quoted(&path.to_string_lossy()));
    let failed = |error: io::Error| Error::system(&name, &error);
    // Opening a FIFO must not wait for its other end.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::usage(format!("{name} is not a regular file"))
            .hint("forage-ctl claude token store - reads standard input"));
    }
    read_all(file, &name)
}

fn read_all(reader: impl Read, name: &str) -> Result<Secret, Error> {
    let read = Secret::read(reader, MAX_BYTES + 1);
    let secret = read.map_err(|error| Error::system(name, &error))?;
    if secret.expose().len() > MAX_BYTES {
        return Err(too_long(name));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn where_a_token_comes_from() {
        let of = |arguments: &[&str], file: Option<&str>, terminal| {
            Source::of(words(arguments), file.map(Into::into), terminal)
        };
        assert!(of(&["-"], None, true).is_ok_and(|source| source == Source::Input));
        assert!(of(&[], Some("f"), true).is_ok_and(|source| source == Source::File("f".into())));
        assert!(of(&[], None, true).is_ok_and(|source| source == Source::Prompt));
        let arguments = Source::Arguments(words(&["a", "b"]));
        assert!(of(&["a", "b"], None, false).is_ok_and(|source| source == arguments));
        let refused = of(&[], None, false).err().unwrap();
        assert_eq!(refused.exit, 2);
        assert!(refused.hint.contains("token store -"));
        assert!(refused.hint.contains("--file"));
    }

    #[test]
    fn words_are_joined_for_the_daemon_to_judge() {
        let secret = Source::Arguments(words(&["sk-ant-oat01-A", "B"])).read();
        assert_eq!(secret.ok().unwrap().expose(), b"sk-ant-oat01-A\nB");
    }

    #[test]
    fn files_are_read_within_limits() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let read = |path: &std::path::Path| Source::File(path.into()).read();
        assert_eq!(read(file.path()).err().unwrap().exit, 1);
        file.write_all(b" \n\t").unwrap();
        assert!(read(file.path()).err().unwrap().message.contains("empty"));
        file.write_all(b"token\n").unwrap();
        assert_eq!(read(file.path()).ok().unwrap().expose(), b" \n\ttoken\n");
        file.write_all(&[b'x'; MAX_BYTES]).unwrap();
        let error = read(file.path()).err().unwrap();
        assert!(error.message.contains("longer than 65536 bytes"), "{error}");
        for odd in ["/dev/null", "/dev", "/dev/zero"] {
            let error = read(odd.as_ref()).err().unwrap();
            assert!(error.message.contains("not a regular file"), "{error}");
        }
        let error = read("/nonexistent\n".as_ref()).err().unwrap();
        assert_eq!(error.exit, 1);
        assert_eq!(
            error.message,
            "the file \"/nonexistent\\n\": No such file or directory"
        );
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(Source::File(path).read().err().unwrap().exit, 2);
    }
}
