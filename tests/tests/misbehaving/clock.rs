//! The daemon's clock is years off, in both directions, and right again. The clock is bent in the
//! daemon's process alone: the machine's own is nobody's to change.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;
use serde_json::Value;

use crate::support::{DAEMON, Sandbox, Undo, alone, ctl, ctl_ok, daemon, store, token};

const DROP_IN: &str = "/run/systemd/system/firefly-forage.service.d/clock.conf";

/// Where the library is that bends clocks.
fn library(testbed: &Testbed) -> Result<String> {
    let found = testbed.sh("root", "ls /usr/lib/*/faketime/libfaketime.so.1")?;
    ensure!(found.ok(), "{}", found.text());
    Ok(found.stdout.trim().to_owned())
}

/// Starts the daemon with a clock that is off by this much.
fn shift(testbed: &Testbed, offset: &str) -> Result<()> {
    let library = library(testbed)?;
    let text = format!(
        "[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME={offset} \
         FAKETIME_DONT_FAKE_MONOTONIC=1\n"
    );
    testbed.write_file(DROP_IN, "root", "0644", text.as_bytes())?;
    testbed.run_ok("root", &["systemctl", "daemon-reload"])?;
    daemon(testbed, "restart")
}

fn unshift(testbed: &Testbed) -> Result<()> {
    testbed.run_ok("root", &["rm", "-f", DROP_IN])?;
    testbed.run_ok("root", &["systemctl", "daemon-reload"])?;
    daemon(testbed, "restart")
}

fn token_status(testbed: &Testbed, user: &str) -> Result<Value> {
    let text = ctl_ok(testbed, user, &["claude", "token", "status", "--json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// What works whatever the time is.
fn works(testbed: &'static Testbed, runs: &Sandbox) -> Result<()> {
    ensure!(runs.field("state")? == "running");
    ensure!(runs.exec_ok(&["id", "-un"])? == "agent");
    ctl_ok(testbed, "bob", &["stop", &runs.name])?;
    ctl_ok(testbed, "bob", &["start", &runs.name])?;
    let new = Sandbox::up(testbed, "bob", "clock-new", "claude-key", &[])?;
    // Ages are told from the clocks of two processes, which disagree.
    let list = ctl_ok(testbed, "bob", &["ps"])?;
    ensure!(list.contains("clock-new"), "{list}");
    new.down()?;
    // Reports are judged by the time since boot: a refusal is still heard.
    let nowhere = [
        "up",
        "clock-no",
        "-t",
        "claude-key",
        "--repo",
        "/home/bob/nowhere",
    ];
    let refused = ctl(testbed, "bob", &nowhere)?;
    ensure!(
        refused.code() == 1 && refused.stderr.contains("nowhere"),
        "{}",
        refused.text()
    );
    Ok(())
}

#[test]
fn years_ahead_and_behind_nothing_is_lost() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let _clock = Undo::new(
        testbed,
        format!(
            "rm -f {DROP_IN}; systemctl daemon-reload; systemctl reset-failed {DAEMON}; systemctl restart {DAEMON}; for u in alice bob; do runuser -u $u -- forage-ctl claude token remove; done; true"
        ),
    );
    for (user, letter) in [("alice", 'a'), ("bob", 'b')] {
        ensure!(store(testbed, user, &token(letter))?.ok());
    }
    let runs = Sandbox::up(testbed, "bob", "clock", "claude", &[])?;
    let printenv = ["printenv", "CLAUDE_CODE_OAUTH_TOKEN"];
    ensure!(runs.exec_ok(&printenv)? == token('b'));

    shift(testbed, "+2y")?;
    for user in ["alice", "bob"] {
        let status = token_status(testbed, user)?;
        ensure!(status["state"] == "expired", "{status}");
    }
    works(testbed, &runs)?;
    ensure!(
        !runs.exec(&printenv)?.ok(),
        "an expired token was delivered"
    );
    ensure!(store(testbed, "bob", &token('f'))?.ok());
    ensure!(runs.exec_ok(&printenv)? == token('f'));
    let future = Sandbox::up(testbed, "bob", "clock-future", "claude-key", &[])?;

    for offset in ["-2y", ""] {
        if offset.is_empty() {
            unshift(testbed)?;
        } else {
            shift(testbed, offset)?;
        }
        ensure!(token_status(testbed, "alice")?["state"] == "valid");
        let status = token_status(testbed, "bob")?;
        ensure!(
            status["state"] == "valid" && status["warnings"].to_string().contains("clock"),
            "{status}"
        );
        works(testbed, &runs)?;
        ensure!(runs.exec_ok(&printenv)? == token('f'));
        ensure!(future.field("state")? == "running");
        let list = ctl_ok(testbed, "bob", &["ps"])?;
        ensure!(
            list.contains("clock-future") && !list.contains('\u{2212}'),
            "{list}"
        );
    }
    let kept = "/var/lib/firefly-forage/tokens/claude-oauth.json";
    let kept = testbed.run_ok("root", &["cat", kept])?;
    ensure!(kept.contains(&token('a')), "alice's token is not as it was");
    let library = library(testbed)?;
    for offset in ["FAKETIME=+2y", "FAKETIME=-2y"] {
        let preload = format!("LD_PRELOAD={library}");
        let argv = ["env", &preload, offset, "forage-ctl", "ps"];
        let list = testbed.run_ok("bob", &argv)?;
        ensure!(list.contains("clock-future"), "{list}");
    }
    Ok(())
}
