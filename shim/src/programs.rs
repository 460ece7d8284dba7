//! Programs of the host, found in the places root owns.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use forage_api::Failure;

use crate::fail::start;

/// Where programs are, besides the places the service manager names in `PATH`.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/sbin", "/run/current-system/sw/bin"];

/// What a program of the host gets to see of an environment; more is for its caller to add.
pub const ENVIRONMENT: [&str; 2] = [
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin",
    "LANG=C.UTF-8",
];

/// Finds a program of a package.
///
/// # Errors
/// It is not installed.
pub fn find(name: &str, package: &str) -> Result<CString, Failure> {
    let named = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&named)
        .filter(|place| place.is_absolute())
        .chain(PLACES.map(PathBuf::from))
        .map(|place| place.join(name))
        .find(|path| path.is_file());
    found
        .and_then(|path| CString::new(path.into_os_string().into_encoded_bytes()).ok())
        .ok_or_else(|| {
            start(
                format_args!("start {name}"),
                io::Error::other("it is not installed"),
            )
            .hint(format!("install the package {package}"))
        })
}

/// Texts as `execve` takes them.
///
/// # Errors
/// One has a zero byte in it.
pub fn strings<T: Into<Vec<u8>>>(texts: impl IntoIterator<Item = T>) -> io::Result<Vec<CString>> {
    let strings: Result<Vec<CString>, _> = texts.into_iter().map(CString::new).collect();
    Ok(strings?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_what_is_not() {
        let env = crate::testing::program("env");
        assert_eq!(
            find("env", "coreutils").unwrap(),
            CString::new(env).unwrap()
        );
        let failure = find("no-such-program", "some-package").unwrap_err();
        assert_eq!(
            failure.message,
            "cannot start no-such-program: it is not installed"
        );
        assert_eq!(failure.hint, "install the package some-package");
        assert!(strings(["a\0b"]).is_err());
    }
}
