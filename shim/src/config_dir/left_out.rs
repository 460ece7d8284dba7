//! What of a configuration directory never reaches a sandbox, told by its name alone: a name that is
//! not known to be harmless is looked at again at every change, the content of a file never.

/// Credentials, at any depth. Programs write such a file under a longer name first (Claude Code:
/// `.credentials.json.tmp.1f0c9a2e`) and people keep copies, so whatever contains one of these is
/// meant. `.claude.json` may hold keys, too.
const CREDENTIALS: &[&str] = &[
    "credentials.json",
    "auth.json",
    "oauth_creds.json",
    "oauth-tokens",
    "claude.json",
];

/// Caches, logs and what belongs to processes of the host, at the top of the directory. Deeper down
/// such names mean other things: the plugins of Claude Code lie in `plugins/cache`.
const CACHES: &[&str] = &[
    ".cache",
    ".tmp",
    "Cache",
    "cache",
    "caches",
    "debug",
    "downloads",
    "ide",
    "image-cache",
    "log",
    "logs",
    "paste-cache",
    "session-env",
    "shell-snapshots",
    "shell_snapshots",
    "statsig",
    "telemetry",
    "tmp",
];

/// Whether something of this name is left out.
pub(super) fn is_left_out(name: &[u8], at_the_top: bool) -> bool {
    let lower = name.to_ascii_lowercase();
    let holds = |word: &str| {
        lower
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    };
    let cache = at_the_top && CACHES.iter().any(|word| name == word.as_bytes());
    cache || CREDENTIALS.iter().any(|word| holds(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_under_every_name_and_caches_at_the_top() {
        for credential in [
            ".credentials.json",
            ".credentials.json.tmp.1f0c9a2e",
            ".credentials.json~",
            "#.credentials.json#",
            ".auth.json.swp",
            "auth.json",
            "AUTH.JSON",
            "mcp-auth.json",
            "oauth_creds.json",
            "mcp-oauth-tokens-v2.json",
            ".claude.json",
            ".claude.json.backup.1795000000000",
        ] {
            assert!(is_left_out(credential.as_bytes(), true), "{credential}");
            assert!(is_left_out(credential.as_bytes(), false), "{credential}");
        }
        assert!(is_left_out(b"\xff.credentials.json\n", false));
        for kept in [
            "settings.json",
            "CLAUDE.md",
            "projects",
            "auth",
            "history.jsonl",
            ".claude",
        ] {
            assert!(!is_left_out(kept.as_bytes(), true), "{kept}");
        }
        assert!(is_left_out(b"cache", true) && !is_left_out(b"cache", false));
    }
}
