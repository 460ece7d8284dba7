//! Values in variables: a stored token and an API key, through crashes.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use super::hunt::{hunt, watched};
use crate::support::{DAEMON, SECRET, Sandbox, SecretFile, alone, ctl, ctl_ok, daemon, store};

#[test]
fn a_canary_is_seen_nowhere() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let canary = format!("sk-ant-oat01-CANARY{}", "x".repeat(89));
    let key = "sk-ant-api03-CANARY-in-a-secret-file";
    let _file = SecretFile::borrow(testbed)?;
    watched(testbed, || {
        testbed.write_file(SECRET, "root", "0400", key.as_bytes())?;
        ensure!(store(testbed, "alice", &canary)?.ok());
        let one = Sandbox::up(testbed, "alice", "canary1", "claude", &["-v"])?;
        let two = Sandbox::up(testbed, "alice", "canary2", "claude-key", &["-v"])?;
        ensure!(
            one.exec_ok(&[
                "sh",
                "-c",
                "printenv CLAUDE_CODE_OAUTH_TOKEN | grep -c CANA[R]Y"
            ])? == "1"
        );
        ensure!(
            two.exec_ok(&["claude", "auth", "status"])?
                .contains("\"api_key\"")
        );
        one.exec(&["claude", "auth", "status"])?;
        ensure!(store(testbed, "alice", &canary)?.ok());
        let three = logged_in_on_the_host(testbed)?;
        hunt(testbed, &one)?;
        hunt(testbed, &two)?;
        hunt(testbed, &three)?;
        for verb in [
            &["auth", "check", "canary3"][..],
            &["auth", "revoke", "canary3"],
        ] {
            ensure!(!ctl(testbed, "erin", verb)?.text().contains("CANARY"));
        }
        testbed.run_ok("root", &["rm", "-rf", "/home/erin/.claude"])?;
        // This machine's kernel writes cores where nothing forbids it.
        for unit in [two.unit().as_str(), DAEMON] {
            testbed.end_unit(unit, "ABRT")?;
        }
        daemon(testbed, "start")?;
        ctl_ok(testbed, "alice", &["claude", "token", "status"])?;
        ctl_ok(testbed, "alice", &["claude", "token", "remove"])?;
        Ok(())
    })
}

/// A sandbox of somebody who is logged in on the host, and what goes with that.
fn logged_in_on_the_host(testbed: &'static Testbed) -> Result<Sandbox> {
    let token = format!("sk-ant-oat01-CANARY-login-{}", "y".repeat(80));
    let content = format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{token}","refreshToken":"sk-ant-ort01-CANARY","expiresAt":EXPIRES,"scopes":["user:inference"]}}}}"#
    );
    testbed.run_ok("erin", &["mkdir", "-p", "/home/erin/.claude"])?;
    let file = "/home/erin/.claude/.credentials.json";
    testbed.write_file(file, "erin", "0600", content.as_bytes())?;
    let dated = format!("sed -i s/EXPIRES/$(date -d '+8 hours' +%s000)/ {file}");
    testbed.run_ok("erin", &["sh", "-c", &dated])?;
    let sandbox = Sandbox::up(testbed, "erin", "canary3", "claude", &["-v"])?;
    let there = "printenv CLAUDE_CODE_OAUTH_TOKEN | grep -c CANA[R]Y-login";
    ensure!(sandbox.sh(there)? == "1");
    ctl_ok(testbed, "erin", &["auth", "refresh", "canary3", "-v"])?;
    Ok(sandbox)
}
