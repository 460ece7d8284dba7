//! Credentials that are refreshed, revoked and looked at.

use anyhow::{Result, ensure};

use crate::{Bus, stand_in};

#[test]
fn refreshing_says_what_each_has() -> Result<()> {
    let Some(bus) = Bus::start("refreshing_says_what_each_has")? else {
        return Ok(());
    };
    let daemon = stand_in::start(&bus.address())?;
    let (code, out, err) = bus.ctl(&["auth", "refresh", "s1", "-v"], b"")?;
    let has = "s1: claude has 1a2b3c4d from token-store, used at its next launch\n";
    ensure!((code, out.as_str()) == (0, has), "{out}");
    let debug = "level=DEBUG msg=\"using stored long-lived Claude OAuth token\"\n";
    ensure!(err == debug, "{err}");
    let (code, out, err) = bus.ctl(&["auth", "refresh", "review-api", "s1"], b"")?;
    ensure!((code, err.as_str()) == (0, "") && out.contains(has));
    ensure!(out.contains("review-api is stopped: it gets its credentials when it starts\n"));
    // What cannot be reached is no success.
    let (code, out, err) = bus.ctl(&["auth", "refresh", "leaving"], b"")?;
    ensure!((code, out.as_str()) == (1, ""));
    let says = "warning: leaving does not get its credentials, until it can be reached: its disk";
    ensure!(err.starts_with(says), "{err}");
    let (code, _, err) = bus.ctl(
        &[
            "auth",
            "refresh",
            "s1",
            "nobody",
            "review-apj",
            "--owner",
            "alice",
        ],
        b"",
    )?;
    ensure!(
        code == 3 && err.contains("hint: did you mean review-api?"),
        "{err}"
    );
    if nix::unistd::geteuid().is_root() {
        let (code, _, err) = bus.ctl(&["auth", "refresh", "--all"], b"")?;
        ensure!(code == 2 && err.contains("hint: name the user with --owner USER"));
        ensure!(daemon.offers().is_empty(), "root has no login");
    }
    Ok(())
}

#[test]
fn revoking_says_who_held_what() -> Result<()> {
    let Some(bus) = Bus::start("revoking_says_who_held_what")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let (code, out, err) = bus.ctl(&["auth", "revoke", "s1"], b"")?;
    ensure!(code == 0 && out.starts_with("s1 is revoked; claude held 1a2b3c4d from token-store\n"));
    ensure!(out.contains("keep CLAUDE_CODE_OAUTH_TOKEN in their environment until they end: "));
    ensure!(out.ends_with(": forage-ctl stop s1 ends them\n"));
    ensure!(err.starts_with("hint: what an agent has read it may have sent away: "));
    // Nothing is asked, and what could not be done is an error.
    let owner = ["--owner", "alice"];
    let all = ["auth", "revoke", "--all", "--freeze"];
    let (code, out, err) = bus.ctl(&[&all[..], &owner].concat(), b"")?;
    ensure!(code == 1, "{code}");
    ensure!(out.contains("s2 is revoked; claude held 1a2b3c4d from token-store; it is frozen\n"));
    ensure!(out.contains("review-api is revoked; nothing was delivered to it; it is stopped\n"));
    ensure!(
        err.contains("warning: leaving may still have its credentials, until"),
        "{err}"
    );
    let (code, _, err) = bus.ctl(&["auth", "revoke", "-q", "s1", "s2", "--stop"], b"")?;
    ensure!(code == 1 && err.contains("error: s1: it does not stop\n"));
    ensure!(
        err.contains("error: s2: it does not stop\n") && err.lines().count() == 2,
        "{err}"
    );
    let (code, out, err) = bus.ctl(&["auth", "revoke", "-q", "s1"], b"")?;
    ensure!((code, out.as_str(), err.as_str()) == (0, "", ""));
    let (code, _, err) = bus.ctl(&["auth", "revoke", "s11", "--owner", "alice"], b"")?;
    ensure!(code == 3 && err.contains("did you mean s1?"), "{err}");
    for line in [&["auth", "revoke"][..], &["auth", "refresh"], &["auth"]] {
        ensure!(bus.ctl(line, b"")?.0 == 2);
    }
    Ok(())
}

#[test]
fn a_look_at_deliveries() -> Result<()> {
    let Some(bus) = Bus::start("a_look_at_deliveries")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let (code, out, _) = bus.ctl(&["auth", "status", "review-api"], b"")?;
    ensure!(
        code == 0 && out.contains("stopped: nothing is delivered\n"),
        "{out}"
    );
    let (code, out, _) = bus.ctl(&["auth", "status"], b"")?;
    ensure!(code == 0 && out.lines().count() == 5, "{out}");
    let (code, out, err) = bus.ctl(&["auth", "status", "--json"], b"")?;
    ensure!(code == 0 && err.is_empty() && out.matches("\"credentials\": []").count() == 4);
    let (code, _, err) = bus.ctl(&["auth", "status", "s11", "--owner", "alice"], b"")?;
    ensure!(code == 3 && err.contains("did you mean s1?"), "{err}");
    Ok(())
}
