//! `--repo`: the path as the daemon takes it, absolute and as the user meant it.

use std::path::{Component, Path, PathBuf};

use crate::Error;

/// Makes a path absolute and keeps its symbolic links, which are followed at each start with the
/// user's rights. `..` is the exception: behind a link it means another directory than the text
/// suggests, so such a path is resolved now.
pub(crate) fn absolute(path: &Path) -> Result<String, Error> {
    const HINT: &str = "give a directory of yours: --repo PATH";
    let shown = || forage_api::ident::quoted(&path.to_string_lossy());
    let resolved: PathBuf = if path.components().any(|part| part == Component::ParentDir) {
        std::fs::canonicalize(path).map_err(|error| {
            Error::system(format!("the repository {}", shown()), &error).hint(HINT)
        })?
    } else {
        // `components` leaves out `.` and double slashes.
        std::path::absolute(path)
            .map_err(|error| {
                Error::usage(format!("the repository {}: {error}", shown())).hint(HINT)
            })?
            .components()
            .collect()
    };
    resolved.into_os_string().into_string().map_err(|_| {
        Error::failure(format!(
            "the repository {} cannot be used: its path is not UTF-8",
            shown()
        ))
        .hint("rename the directory, or give the path of a link to it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn paths_are_absolute_and_keep_links() {
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap();
        for (given, made) in [
            ("/a/b", "/a/b".to_owned()),
            ("/a//b/./c/", "/a/b/c".into()),
            ("/", "/".into()),
            (".", here.into()),
            ("./x", format!("{here}/x")),
            ("a: \\\n\"b", format!("{here}/a: \\\n\"b")),
            ("~/x", format!("{here}/~/x")),
        ] {
            assert_eq!(absolute(Path::new(given)).unwrap(), made);
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("far/real")).unwrap();
        std::os::unix::fs::symlink(root.join("far/real"), root.join("link")).unwrap();
        let link = root.join("link");
        assert_eq!(absolute(&link).unwrap(), link.to_str().unwrap());
        let far = root.join("far");
        assert_eq!(absolute(&link.join("..")).unwrap(), far.to_str().unwrap());
    }

    #[test]
    fn paths_that_cannot_be_used() {
        assert_eq!(absolute(Path::new("")).unwrap_err().exit, 2);
        let gone = absolute(Path::new("/nonexistent/..")).unwrap_err();
        assert_eq!(gone.exit, 1);
        assert_eq!(
            gone.message,
            "the repository \"/nonexistent/..\": No such file or directory"
        );
        let odd = absolute(Path::new(OsStr::from_bytes(b"/a\xff"))).unwrap_err();
        assert!(odd.message.contains("not UTF-8"), "{odd}");
    }
}
