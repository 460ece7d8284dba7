//! Where the testbed keeps things.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The cache of the trees and the home of the runs. It stays in the repository wherever cargo
/// builds, so that one cache serves every target directory.
pub(super) fn cache() -> PathBuf {
    repository().join("target/testbed")
}

/// The runs' directories, one per name.
pub(super) fn runs() -> PathBuf {
    cache().join("run")
}
