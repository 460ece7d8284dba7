//! Where Claude Code keeps its login.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

const FILE: &str = ".credentials.json";

/// The file, as `CLAUDE_CONFIG_DIR` and `HOME` have it; `None` where the user has no home.
pub fn file() -> Option<PathBuf> {
    let home = || Some(User::from_uid(geteuid()).ok()??.dir);
    of(|name| std::env::var_os(name), home)
}

fn of(
    variable: impl Fn(&OsStr) -> Option<OsString>,
    home: impl Fn() -> Option<PathBuf>,
) -> Option<PathBuf> {
    let set = |name: &str| variable(name.as_ref()).filter(|value| !value.is_empty());
    if let Some(directory) = set("CLAUDE_CONFIG_DIR") {
        return Some(Path::new(&directory).join(FILE));
    }
    let home = set("HOME").map(PathBuf::from).or_else(home)?;
    Some(home.join(".claude").join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is() {
        let with = |variables: &'static [(&str, &str)], home: Option<&str>| {
            let variable = move |name: &OsStr| {
                let known = variables.iter().find(|(known, _)| *known == name);
                known.map(|(_, value)| OsString::from(value))
            };
            of(variable, || home.map(PathBuf::from))
        };
        for (variables, home, says) in [
            (
                &[("CLAUDE_CONFIG_DIR", "/c"), ("HOME", "/h")][..],
                None,
                Some("/c/.credentials.json"),
            ),
            (
                &[("CLAUDE_CONFIG_DIR", ""), ("HOME", "/h")],
                Some("/p"),
                Some("/h/.claude/.credentials.json"),
            ),
            (
                &[("HOME", "")],
                Some("/p"),
                Some("/p/.claude/.credentials.json"),
            ),
            (&[], None, None),
        ] {
            assert_eq!(with(variables, home).as_deref(), says.map(Path::new));
        }
    }
}
