//! The login of Claude Code on this host, read as the user: the access token and when it expires,
//! nothing else. Claude Code renews it every few hours, and only it: the refresh token never leaves
//! the buffer the file is read into, since two who use one log each other out.

mod content;
mod offer;
mod place;
mod watch;

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use forage_api::Secret;
use forage_api::ident::quoted;
use jiff::Timestamp;
use nix::unistd::geteuid;
use rustix::io::Errno;

use crate::error::reason;

pub use offer::{Offered, may_offer, offer};
pub use place::file;
pub use watch::watch;

/// The most bytes that are read; the file has less than one thousand, unless it holds other logins too.
const MAX_BYTES: usize = 64 * 1024;

/// What there is.
#[expect(missing_debug_implementations, reason = "it may hold a token")]
pub enum Login {
    /// Nobody has logged in.
    None,
    /// There is something that cannot be used, for this reason.
    Unusable(String),
    /// Somebody has logged in.
    Found {
        /// The access token.
        token: Secret,
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: i64,
    },
}

/// Reads the login from a file. Symbolic links are followed: whoever made them is the user, who is
/// also who reads.
pub fn read(path: &Path, now: Timestamp) -> Login {
    let name = quoted(&path.to_string_lossy());
    let unusable = |why: &str| Login::Unusable(format!("{name} {why}"));
    let content = match content_of(path) {
        Ok(Content::Missing) => return Login::None,
        Ok(Content::Odd(why)) => return unusable(why),
        Ok(Content::Bytes(bytes)) => bytes,
        Err(error) => return unusable(&format!("cannot be read: {}", reason(&error))),
    };
    match content::login(content.expose(), now) {
        Ok(Some(found)) => Login::Found {
            token: found.token,
            expires_at_ms: found.expires_at_ms,
        },
        Ok(None) => Login::None,
        Err(why) => unusable(&why),
    }
}

enum Content {
    Missing,
    Odd(&'static str),
    Bytes(Secret),
}

fn content_of(path: &Path) -> io::Result<Content> {
    // Opening a FIFO must not wait for its other end.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let opened = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Missing),
        // Such as a socket.
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            return Ok(Content::Odd("is not a regular file"));
        }
        other => other?,
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(Content::Odd("is not a regular file"));
    }
    if about.uid() != geteuid().as_raw() {
        return Ok(Content::Odd("belongs to another user"));
    }
    let content = Secret::read(file, MAX_BYTES + 1)?;
    if content.expose().len() > MAX_BYTES {
        return Ok(Content::Odd("is larger than 64 KiB"));
    }
    Ok(Content::Bytes(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn now() -> Timestamp {
        "2026-03-19T21:00:00Z".parse().unwrap()
    }

    fn usable(expires_at: &str) -> String {
        format!(
            r#"{{"claudeAiOauth":{{"accessToken":"sk-ant-oat01-CANARY","refreshToken":
            "sk-ant-ort01-CANARY","expiresAt":{expires_at},"scopes":["user:inference"]}}}}"#
        )
    }

    fn why(path: &Path) -> String {
        match read(path, now()) {
            Login::Unusable(why) => {
                assert!(!why.contains("CANARY") && !why.contains("sk-ant-"), "{why}");
                why
            }
            Login::None => panic!("none"),
            Login::Found { .. } => panic!("found"),
        }
    }

    #[test]
    fn a_login_is_found_also_behind_links() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, usable("1773979200000")).unwrap();
        let link = directory.path().join("link");
        symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let Login::Found {
                token,
                expires_at_ms,
            } = read(path, now())
            else {
                panic!();
            };
            assert_eq!(token.expose(), b"sk-ant-oat01-CANARY");
            assert_eq!(expires_at_ms, 1_773_979_200_000);
        }
    }

    #[test]
    fn nobody_has_logged_in() {
        let directory = tempfile::tempdir().unwrap();
        let there = |name: &str| directory.path().join(name);
        symlink("nowhere", there("dangling")).unwrap();
        std::fs::write(there("empty"), "{}").unwrap();
        std::fs::write(there("others"), r#"{"mcpOAuth":{"x":{"accessToken":"y"}}}"#).unwrap();
        symlink("/etc", there("config")).unwrap();
        for name in [
            "missing",
            "no/such/directory",
            "dangling",
            "empty",
            "others",
            "config/.credentials.json",
        ] {
            assert!(matches!(read(&there(name), now()), Login::None), "{name}");
        }
    }

    #[test]
    fn files_of_odd_kinds_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let there = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&there("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(there("socket")).unwrap();
        symlink("loop", there("loop")).unwrap();
        let long = usable("1773979200000") + &" ".repeat(MAX_BYTES);
        std::fs::write(there("long"), long).unwrap();
        std::fs::write(there("huge"), vec![b'{'; 1 << 20]).unwrap();
        std::fs::write(there("nothing"), "").unwrap();
        std::fs::write(there("file"), usable("1")).unwrap();
        for (name, says) in [
            ("fifo", "is not a regular file"),
            ("socket", "is not a regular file"),
            (".", "is not a regular file"),
            ("loop", "cannot be read: Too many levels of symbolic links"),
            ("long", "is larger than 64 KiB"),
            ("huge", "is larger than 64 KiB"),
            ("nothing", "is empty"),
            ("file/x", "cannot be read: Not a directory"),
        ] {
            let why = why(&there(name));
            assert!(why.ends_with(says), "{name}: {why}");
        }
        assert!(why(Path::new("/dev/null")).ends_with("is not a regular file"));
        if !geteuid().is_root() {
            assert!(why(Path::new("/etc/passwd")).ends_with("belongs to another user"));
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        // Only root can make one.
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, usable("1773979200000")).unwrap();
        std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
        assert!(why(&file).ends_with("belongs to another user"));
    }
}
