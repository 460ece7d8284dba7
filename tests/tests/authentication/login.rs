//! The login of Claude Code on the host, and the times of such things.

use anyhow::Result;
use forage_tests::testbed::Testbed;

use crate::support::Undo;

/// A time from now, as date(1) writes it.
pub(crate) fn moment(testbed: &Testbed, from_now: &str, form: &str) -> Result<String> {
    let date = testbed.run_ok("root", &["date", "-u", "-d", from_now, form])?;
    Ok(date.trim().to_owned())
}

/// The login of Claude Code on the host, of alice.
pub(crate) const LOGIN: &str = "/home/alice/.claude/.credentials.json";

/// Alice is logged in on the host until this is dropped.
pub(crate) struct Login {
    _undo: Undo,
}

impl Login {
    /// Logs her in, until a time as date(1) takes it.
    pub(crate) fn of_alice(
        testbed: &'static Testbed,
        access: &str,
        refresh: &str,
        until: &str,
    ) -> Result<Self> {
        let login = serde_json::json!({"claudeAiOauth": {
            "accessToken": access,
            "refreshToken": refresh,
            "expiresAt": moment(testbed, until, "+%s%3N")?.parse::<i64>()?,
            "scopes": ["user:inference"],
        }});
        let _undo = Undo::new(testbed, format!("rm -f {LOGIN}"));
        testbed.write_file(LOGIN, "alice", "0600", login.to_string().as_bytes())?;
        Ok(Self { _undo })
    }
}
