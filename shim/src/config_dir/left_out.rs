//! What of a configuration directory never reaches a sandbox, told by its name alone: a name that is
//! not known to be harmless is looked at again at every change, the content of a file never.

use super::place::FRESH;

/// Credentials, at any depth. Programs write such a file under a longer name first (Claude Code:
/// `.credentials.json.tmp.1f0c9a2e`) and people keep copies, so whatever contains one of these is
/// meant. `.claude.json` may hold keys, too.
const CREDENTIALS: &[&str] = &[
    "credentials",
    "auth.json",
    "oauth.json",
    "oauth_creds",
    "oauth-keys",
    "oauth-tokens",
    "oauth_token",
    "session_ingress_token",
    ".api_key",
    "claude.json",
    ".envrc",
];

/// The same of parts that begin other words, so that no letter may follow: variables with keys, which
/// every one of these agents reads from such a file, and what is encrypted (Codex: `secrets/local.age`).
const PARTS: &[&str] = &[".env", ".age"];

/// `OpenCode`'s databases (`opencode.db`, `opencode-<channel>.db`, what `SQLite` writes beside them) hold
/// the tokens of its accounts.
const DATABASE: (&str, &str) = ("opencode", ".db");

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
    let cache = at_the_top && CACHES.iter().any(|word| name == word.as_bytes());
    cache || name == FRESH.to_bytes() || is_credential(&name.to_ascii_lowercase())
}

/// The same of credentials, told by a name in lower case.
fn is_credential(name: &[u8]) -> bool {
    let holds = |word: &&str| name.windows(word.len()).any(|part| part == word.as_bytes());
    let holds_part = |part: &&str| {
        let mut places = name.windows(part.len()).enumerate();
        places.any(|(at, found)| {
            let next = name.get(at + part.len());
            found == part.as_bytes() && !next.is_some_and(u8::is_ascii_alphabetic)
        })
    };
    CREDENTIALS.iter().any(holds)
        || PARTS.iter().any(holds_part)
        || holds(&DATABASE.0) && holds(&DATABASE.1)
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
            ".credentials",
            "credentials.bak",
            "gemini-credentials.json",
            "application_default_credentials.json",
            "a2a-oauth-tokens.json",
            "gateway_oauth.json",
            ".oauth_token",
            ".api_key",
            ".session_ingress_token",
            ".env",
            ".env.local",
            ".env~",
            ".env_old",
            ".ENV",
            "#.env#",
            "work.env",
            "oauth-keys.env",
            "oauth-keys.bak",
            ".envrc",
            "local.age",
            ".local.age.tmp-17-1795000000000",
            "opencode.db",
            "opencode-beta.db-wal",
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
            "config.toml",
            "opencode.json",
            ".environment",
            "environments",
            "env",
            ".agents",
            "review.agent.md",
            "page",
            "installation_id",
        ] {
            assert!(!is_left_out(kept.as_bytes(), true), "{kept}");
        }
        assert!(is_left_out(b"cache", true) && !is_left_out(b"cache", false));
    }
}
