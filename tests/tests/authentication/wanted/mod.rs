//! What a sandbox has is what was decided last: whatever is revoked, refreshed, offered, restarted or
//! killed in between, and who is told of it.

mod host_login;
mod revoke;
mod signals;

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;
use serde_json::Value;

use crate::support::{Sandbox, ctl};

/// Whose sandboxes these are.
const USER: &str = "erin";

impl Sandbox {
    /// What `status` says of its one credential.
    fn given(&self) -> Result<Value> {
        Ok(self.status()?["credentials"][0].take())
    }

    /// The token an agent that is launched now would have; empty where it has none.
    fn token(&self) -> Result<String> {
        let outcome = self.exec(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])?;
        Ok(outcome.stdout.trim().to_owned())
    }

    /// Its directory of credentials on the host holds these files.
    fn holds(&self, testbed: &Testbed, files: &[&str]) -> Result<()> {
        let directory = format!("/run/firefly-forage/secrets/{}", self.id);
        let line = format!("cd {directory} && find . -type f | sort");
        let found = testbed.sh("root", &line)?;
        let found: Vec<&str> = found.stdout.lines().collect();
        ensure!(found == files, "{found:?} and not {files:?}");
        Ok(())
    }
}

/// The user's token store is empty, and so is their login.
fn forget(testbed: &Testbed) -> Result<()> {
    testbed.run_ok(USER, &["sh", "-c", "rm -rf ~/.claude"])?;
    ctl(testbed, USER, &["claude", "token", "remove"])?;
    Ok(())
}
