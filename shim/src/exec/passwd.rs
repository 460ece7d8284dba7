//! A user's entry in the sandbox's own `/etc/passwd`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The shell of who has none.
pub(super) const SHELL: &str = "/bin/sh";

/// What the entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The home directory.
    pub(super) home: String,
    /// The shell.
    pub(super) shell: String,
}

/// Reads a user's entry. The file is the sandbox's: it may be anything.
pub(super) fn read(path: &Path, user: &str) -> Option<Entry> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(1 << 20).read_to_string(&mut text).ok()?;
    find(&text, user)
}

fn find(text: &str, user: &str) -> Option<Entry> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, _, _, _, home, shell] = fields.as_slice() else {
            return None;
        };
        let usable = name == user && home.starts_with('/');
        usable.then(|| Entry {
            home: home.to_owned(),
            shell: if shell.is_empty() { SHELL } else { shell }.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let text = "root:x:0:0:root:/root:/bin/sh\n\
                    agent2:x:1:1::/a2:/bin/sh\n\
                    agent:x:1000\n\
                    agent:x:1000:1000:Agent:/home/agent:/bin/bash\n";
        let entry = find(text, "agent").unwrap();
        assert_eq!(
            (entry.home.as_str(), entry.shell.as_str()),
            ("/home/agent", "/bin/bash")
        );
        assert_eq!(find(text, "nobody"), None);
        assert_eq!(find("a:x:1:1::/a:", "a").unwrap().shell, SHELL);
        assert_eq!(find("agent:x:1:1::relative:/bin/sh", "agent"), None);
        assert_eq!(read(Path::new("/dev/zero"), "agent"), None);
    }
}
