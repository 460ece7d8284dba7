//! The way to a file: the directories whose entries decide what its path means, also through links.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A directory, and the entry in it that matters.
pub(super) type Step = (PathBuf, OsString);

/// The steps to an absolute path, as far as they are there; the last may name an entry that is not.
pub(super) fn chain(path: &Path) -> Vec<Step> {
    let mut pending: VecDeque<OsString> = parts(path).collect();
    let mut here = PathBuf::from("/");
    let mut steps = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let entry = here.join(&name);
        steps.push((here.clone(), name));
        let Ok(about) = fs::symlink_metadata(&entry) else {
            break;
        };
        if !about.is_symlink() {
            here = entry;
            continue;
        }
        links += 1;
        let target = fs::read_link(&entry);
        let (Ok(target), true) = (target, links <= MOST_LINKS) else {
            break;
        };
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            pending.push_front(part);
        }
    }
    steps
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// The steps below the directory, in short.
    fn steps(root: &Path, path: &str) -> Vec<String> {
        chain(&root.join(path))
            .iter()
            .filter_map(|(directory, name)| {
                let below = directory.strip_prefix(root).ok()?;
                Some(below.join(name).display().to_string())
            })
            .collect()
    }

    #[test]
    fn every_entry_on_the_way_counts() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("c/d")).unwrap();
        assert_eq!(steps(&root, "a/b/f"), ["a", "a/b", "a/b/f"]);
        assert_eq!(steps(&root, "a/x/f"), ["a", "a/x"]);
        symlink("../c/d", root.join("a/link")).unwrap();
        assert_eq!(
            steps(&root, "a/link/f"),
            ["a", "a/link", "c", "c/d", "c/d/f"]
        );
        symlink(root.join("c/f"), root.join("a/b/f")).unwrap();
        assert_eq!(steps(&root, "a/b/f"), ["a", "a/b", "a/b/f", "c", "c/f"]);
        symlink("loop", root.join("loop")).unwrap();
        let around = steps(&root, "loop/f");
        assert!(around.len() <= MOST_LINKS + 1 && around.iter().all(|step| step == "loop"));
    }
}
