//! Where the testbed keeps things.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The cache of the trees and the home of the runs. It stays in the repository wherever cargo
/// builds, so that one cache serves every target directory.
pub fn cache() -> PathBuf {
    repository().join("target/testbed")
}

/// The runs' directories, one per name.
pub(super) fn runs() -> PathBuf {
    cache().join("run")
}

/// A short name for this checkout, so that testbeds of two checkouts do not meet.
pub(super) fn checkout() -> String {
    format!("{:08x}", hash(&cache().to_string_lossy()) >> 32)
}

/// FNV-1a: small, and the same for every compiler, unlike the standard library's hashes.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
