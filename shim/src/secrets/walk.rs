//! The way a path takes: every directory and name it goes through, links followed. What changes at
//! any of them changes what the path means.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// One step: a name looked up in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The directory, itself free of links.
    pub(super) directory: PathBuf,
    /// The name.
    pub(super) name: OsString,
    /// Whether the path ends here, at something that is not a link.
    pub(super) last: bool,
}

/// The most links a path may go through, as in the kernel.
const MAX_LINKS: usize = 40;

/// Walks a path as far as it exists; the step that finds nothing is included.
pub(super) fn walk(path: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut directory = PathBuf::from("/");
    let mut left: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            directory.pop();
            continue;
        }
        let full = directory.join(&name);
        let target = fs::read_link(&full).ok();
        let last = left.is_empty() && target.is_none();
        steps.push(Step {
            directory: directory.clone(),
            name,
            last,
        });
        match target {
            Some(target) => {
                links += 1;
                if links > MAX_LINKS {
                    break;
                }
                if target.is_absolute() {
                    directory = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    left.push_front(name);
                }
            }
            None if full.is_dir() => directory = full,
            None => break,
        }
    }
    steps
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn below(top: &Path, path: &str) -> Vec<(String, String, bool)> {
        walk(&top.join(path))
            .into_iter()
            .filter_map(|step| {
                let directory = step.directory.strip_prefix(top).ok()?;
                let name = step.name.to_string_lossy().into_owned();
                Some((directory.display().to_string(), name, step.last))
            })
            .collect()
    }

    fn step(directory: &str, name: &str, last: bool) -> (String, String, bool) {
        (directory.to_owned(), name.to_owned(), last)
    }

    #[test]
    fn links_at_every_level_are_steps() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("secrets.d/1")).unwrap();
        fs::write(top.join("secrets.d/1/key"), "x").unwrap();
        symlink(top.join("secrets.d/1"), top.join("secrets")).unwrap();
        symlink("secrets/../1/key", top.join("link")).unwrap();
        let expected = [
            step("", "link", false),
            step("", "secrets", false),
            step("", "secrets.d", false),
            step("secrets.d", "1", false),
            step("secrets.d", "1", false),
            step("secrets.d/1", "key", true),
        ];
        assert_eq!(below(&top, "link"), expected);
    }

    #[test]
    fn what_is_missing_ends_the_walk() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        assert_eq!(below(&top, "a/b"), [step("", "a", false)]);
        assert_eq!(below(&top, "a"), [step("", "a", true)]);
        symlink("loop", top.join("loop")).unwrap();
        assert_eq!(below(&top, "loop").len(), MAX_LINKS + 1);
    }
}
