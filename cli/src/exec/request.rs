//! What is asked of the shim: the command with its variables and directory, as bytes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use forage_api::shim::exec::{MAX_ARGUMENTS, MAX_BYTES, MAX_VARIABLES, Terminal, ToShim};
use zeroize::Zeroizing;

use crate::Error;

/// The longest working directory, as the kernel has it.
const MAX_DIRECTORY: usize = 4096;

/// A command that can be sent.
#[expect(missing_debug_implementations, reason = "a variable may be a secret")]
pub struct Request {
    arguments: usize,
    variables: usize,
    directory: bool,
    user: String,
    without_credentials: bool,
    raw: Zeroizing<Vec<u8>>,
}

impl Request {
    /// Checks a command and puts it together. `own` gives the variables of this process.
    ///
    /// # Errors
    /// Something is malformed or beyond the limits.
    pub fn new(
        command: &[OsString],
        environment: &[OsString],
        directory: Option<&OsStr>,
        own: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, Error> {
        if command.first().is_none_or(|program| program.is_empty()) {
            return Err(Error::usage("the command is empty")
                .hint("forage-ctl exec NAME -- COMMAND [ARGUMENT…]"));
        }
        Self::put_together(command, environment, directory, own)
    }

    /// The login shell of the user it runs as.
    ///
    /// # Errors
    /// Something is malformed or beyond the limits.
    pub fn login_shell(environment: &[OsString]) -> Result<Self, Error> {
        Self::put_together(&[], environment, None, |_| None)
    }

    /// Runs it as a user of the sandbox instead of the agent.
    #[must_use]
    pub fn as_user(self, user: Option<&str>) -> Self {
        Self {
            user: user.unwrap_or_default().to_owned(),
            ..self
        }
    }

    /// Runs it without the agents' credentials, because it outlives them.
    #[must_use]
    pub fn without_credentials(self) -> Self {
        Self {
            without_credentials: true,
            ..self
        }
    }

    fn put_together(
        command: &[OsString],
        environment: &[OsString],
        directory: Option<&OsStr>,
        own: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, Error> {
        if command.len() > MAX_ARGUMENTS {
            return Err(too_many("arguments", command.len(), MAX_ARGUMENTS));
        }
        if environment.len() > MAX_VARIABLES {
            return Err(too_many("variables", environment.len(), MAX_VARIABLES));
        }
        let mut raw = Zeroizing::new(Vec::new());
        for argument in command {
            push(&mut raw, argument.as_bytes());
        }
        for variable in environment {
            push_variable(&mut raw, variable, &own)?;
        }
        if raw.len() > MAX_BYTES {
            return Err(Error::usage(format!(
                "the command and its variables are {} bytes long, and {MAX_BYTES} are the most",
                raw.len()
            ))
            .hint("give long input on standard input instead"));
        }
        if let Some(directory) = directory {
            push(&mut raw, check_directory(directory)?);
        }
        Ok(Self {
            arguments: command.len(),
            variables: environment.len(),
            directory: directory.is_some(),
            user: String::new(),
            without_credentials: false,
            raw,
        })
    }

    /// What is sent, for a command on a terminal like this one or on pipes.
    pub(crate) fn message(&self, terminal: Option<Terminal>) -> ToShim {
        ToShim::Start {
            arguments: self.arguments,
            variables: self.variables,
            directory: self.directory,
            user: self.user.clone(),
            terminal,
            without_credentials: self.without_credentials,
        }
    }

    /// What is sent with it.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }
}

fn too_many(what: &str, given: usize, most: usize) -> Error {
    Error::usage(format!("{given} {what} are too many: {most} are the most"))
}

fn push(raw: &mut Vec<u8>, bytes: &[u8]) {
    raw.extend_from_slice(bytes);
    raw.push(0);
}

/// `NAME=VALUE` as it is, or `NAME` with the value of our own variable.
fn push_variable(
    raw: &mut Vec<u8>,
    given: &OsStr,
    own: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<(), Error> {
    let bytes = given.as_bytes();
    let name = bytes.split(|byte| *byte == b'=').next().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::usage("a variable after -e has no name")
            .hint("write -e NAME=VALUE, or -e NAME to pass on your own"));
    }
    if name.len() < bytes.len() {
        push(raw, bytes);
        return Ok(());
    }
    let Some(value) = own(given) else {
        let name = forage_api::ident::quoted(&given.to_string_lossy());
        return Err(Error::usage(format!(
            "the variable {name} is to be passed on but is not set"
        ))
        .hint("set and export it first, or write -e NAME=VALUE"));
    };
    raw.extend_from_slice(name);
    raw.push(b'=');
    push(raw, value.as_bytes());
    Ok(())
}

fn check_directory(directory: &OsStr) -> Result<&[u8], Error> {
    let bytes = directory.as_bytes();
    let shown = || forage_api::ident::quoted(&directory.to_string_lossy());
    if !bytes.starts_with(b"/") {
        return Err(Error::usage(format!(
            "the directory {} is not an absolute path in the sandbox",
            shown()
        ))
        .hint("the workspace is at /workspace, unless the template says otherwise"));
    }
    if bytes.len() >= MAX_DIRECTORY {
        return Err(Error::usage(format!(
            "the directory {} is too long",
            shown()
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn words(words: &[&[u8]]) -> Vec<OsString> {
        let words = words.iter().map(|word| OsString::from_vec(word.to_vec()));
        words.collect()
    }

    fn own(name: &OsStr) -> Option<OsString> {
        (name == "OWN").then(|| OsString::from_vec(b"a=\xff\n".to_vec()))
    }

    fn request(command: &[&[u8]], env: &[&[u8]], dir: Option<&str>) -> Result<Request, Error> {
        Request::new(&words(command), &words(env), dir.map(OsStr::new), own)
    }

    #[test]
    fn bytes_are_kept_in_their_order() {
        let request = request(
            &[b"--bind=/:/x", b"", b"\xff \n"],
            &[b"A==b=", b"OWN", b"EMPTY="],
            Some("/w d"),
        )
        .unwrap();
        assert_eq!(
            request.raw(),
            b"--bind=/:/x\0\0\xff \n\0A==b=\0OWN=a=\xff\n\0EMPTY=\0/w d\0"
        );
        let ToShim::Start {
            arguments,
            variables,
            directory,
            ..
        } = request.message(None)
        else {
            panic!();
        };
        assert_eq!((arguments, variables, directory), (3, 3, true));
    }

    #[test]
    fn what_is_refused() {
        let many = vec![&b"x"[..]; MAX_ARGUMENTS + 1];
        let variables = vec![&b"A=1"[..]; MAX_VARIABLES + 1];
        let long = vec![b'x'; MAX_BYTES];
        let path = format!("/{}", "x".repeat(MAX_DIRECTORY));
        type Case<'a> = (&'a [&'a [u8]], &'a [&'a [u8]], Option<&'a str>, &'a str);
        let cases: [Case<'_>; 9] = [
            (&[], &[], None, "the command is empty"),
            (&[b""], &[], None, "the command is empty"),
            (
                &many,
                &[],
                None,
                "1025 arguments are too many: 1024 are the most",
            ),
            (
                &[b"x"],
                &variables,
                None,
                "257 variables are too many: 256 are the most",
            ),
            (
                &[&long],
                &[],
                None,
                "the command and its variables are 262145 bytes long, and 262144 are the most",
            ),
            (&[b"x"], &[b"=b"], None, "a variable after -e has no name"),
            (
                &[b"x"],
                &[b"NOT"],
                None,
                "the variable \"NOT\" is to be passed on but is not set",
            ),
            (
                &[b"x"],
                &[],
                Some("a"),
                "the directory \"a\" is not an absolute path in the sandbox",
            ),
            (&[b"x"], &[], Some(&path), "is too long"),
        ];
        for (command, environment, directory, says) in cases {
            let error = request(command, environment, directory).err().unwrap();
            assert_eq!(error.exit, 2);
            assert!(error.message.contains(says), "{error}");
        }
        assert!(request(&many[1..], &variables[1..], Some("/")).is_ok());
        assert!(request(&[&long[1..]], &[], None).is_ok());
    }
}
