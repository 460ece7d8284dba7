//! The program that is executed: the command by name or path, or a login shell.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use forage_api::ident::quoted;
use forage_api::{ErrorKind, Failure};
use nix::errno::Errno;

use super::environment::{self, Variables};
use super::passwd;

/// Files that could be the program, in order, each with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// As messages call it.
    shown: String,
    candidates: Vec<(CString, Vec<CString>)>,
}

impl Program {
    /// The program of a command; without one a login shell.
    pub(super) fn choose(command: &[CString], shell: &str, variables: &Variables) -> Self {
        match command.first() {
            Some(program) => Self {
                shown: quoted(&program.to_string_lossy()),
                candidates: places(program, variables)
                    .into_iter()
                    .map(|place| (place, command.to_vec()))
                    .collect(),
            },
            None => Self {
                shown: quoted(shell),
                // Where the account's shell is not there, any is better than none.
                candidates: [shell, passwd::SHELL]
                    .into_iter()
                    .filter_map(login_shell)
                    .collect(),
            },
        }
    }

    /// Executes it. It comes back only when that failed.
    pub(super) fn execute(&self, environment: &[CString]) -> Failure {
        let mut denied = false;
        for (place, arguments) in &self.candidates {
            match nix::unistd::execve(place, arguments, environment) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(Errno::EACCES) => denied = true,
                Err(error) => return self.not_executable(error),
                Ok(never) => match never {},
            }
        }
        if denied {
            return self.not_executable(Errno::EACCES);
        }
        Failure::new(
            ErrorKind::CommandNotFound,
            format!("there is no command {} in the sandbox", self.shown),
        )
        .hint("install it in the template, or name its full path")
    }

    fn not_executable(&self, error: Errno) -> Failure {
        let why = crate::fail::reason(&error.into());
        Failure::new(
            ErrorKind::CommandNotExecutable,
            format!("cannot execute {} in the sandbox: {why}", self.shown),
        )
    }
}

/// The files that could be the program, in order.
fn places(program: &CString, variables: &Variables) -> Vec<CString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.clone()];
    }
    let name = OsString::from_vec(program.as_bytes().to_vec());
    environment::search_path(variables)
        .into_iter()
        .map(|directory| Path::new(&directory).join(&name).into_os_string())
        .filter_map(|path| CString::new(path.into_vec()).ok())
        .collect()
}

/// A shell reads the profile of its user when its name begins with a dash.
fn login_shell(path: &str) -> Option<(CString, Vec<CString>)> {
    if !path.starts_with('/') {
        return None;
    }
    let name = Path::new(path).file_name()?;
    let name = CString::new([b"-", name.as_bytes()].concat()).ok()?;
    Some((CString::new(path).ok()?, vec![name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_shell_has_a_dash() {
        let program = Program::choose(&[], "/usr/bin/zsh", &Variables::new());
        let expected = [
            (c"/usr/bin/zsh".to_owned(), vec![c"-zsh".to_owned()]),
            (c"/bin/sh".to_owned(), vec![c"-sh".to_owned()]),
        ];
        assert_eq!(program.candidates, expected);
        for odd in ["", "bash", "./x", "/"] {
            let program = Program::choose(&[], odd, &Variables::new());
            assert_eq!(program.candidates.len(), 1, "{odd}");
        }
    }

    #[test]
    fn a_command_is_looked_for_along_the_path() {
        let variables = Variables::from([(b"PATH".to_vec(), b"/a:/b".to_vec())]);
        let command = [c"ls".to_owned(), c"-l".to_owned()];
        let program = Program::choose(&command, "/bin/sh", &variables);
        let places: Vec<&CString> = program.candidates.iter().map(|(place, _)| place).collect();
        assert_eq!(places, [c"/a/ls", c"/b/ls"]);
        assert_eq!(program.candidates[1].1, command);
        let program = Program::choose(&[c"./x".to_owned()], "/bin/sh", &variables);
        assert_eq!(program.candidates[0].0, c"./x".to_owned());
        assert_eq!(program.candidates.len(), 1);
    }
}
