//! The login of a user on the host: what is taken, what is refused, and that it lives in memory alone.

use anyhow::{Result, ensure};

use crate::host::BusHost;

const STATE: &str = "/var/lib/firefly-forage";

#[test]
fn what_is_no_login_is_refused() -> Result<()> {
    let host = BusHost::shared()?;
    for (kind, expiry, words) in [
        ("refresh-token", "+400", "refresh token"),
        ("api-key", "+400", "API key"),
        ("json", "+400", "characters"),
        ("unsealed", "+400", "sealed"),
        ("pipe", "+400", "memfd"),
        ("oversized", "+400", "8192"),
        ("login", "0", "expired on 1970-01-01"),
        ("login", "-1", "not one that a login has"),
        ("login", "+-1", "expired on"),
        ("login", "253402300799000", "not one that a login has"),
        ("login", "9223372036854775807", "not one that a login has"),
        ("login", "-9223372036854775808", "not one that a login has"),
    ] {
        let outcome = host.probe("carol", &["offer", kind, expiry])?;
        ensure!(!outcome.ok(), "{kind} {expiry} was taken");
        ensure!(
            outcome.text().contains("Forage1.Error.Invalid") && outcome.text().contains(words),
            "{kind} {expiry}: {}",
            outcome.text()
        );
        ensure!(!outcome.text().contains("CANARY"), "{}", outcome.text());
    }
    ensure!(!host.log().contains("CANARY"), "the journal quotes it");
    let source = host.call("carol", "Tokens", &["Status", "a{sv}", "0"])?;
    ensure!(source.stdout.contains("\"none\""), "{}", source.text());
    Ok(())
}

#[test]
fn it_is_the_source_until_it_is_taken_back_or_the_daemon_ends() -> Result<()> {
    let mut host = BusHost::start("user = \"alice\"\n")?;
    let status = |host: &BusHost, user| -> Result<String> {
        Ok(host.call(user, "Tokens", &["Status", "a{sv}", "0"])?.stdout)
    };
    let offered = host.probe("alice", &["offer", "login", "+445"])?;
    ensure!(
        offered.ok() && offered.stdout.contains("until 20"),
        "{}",
        offered.text()
    );
    for (user, expected) in [("alice", true), ("bob", false)] {
        let said = status(&host, user)?;
        ensure!(
            said.contains("\"host-login\"") == expected,
            "{user}: {said}"
        );
        ensure!(
            said.contains("loginExpiresAt") == expected,
            "{user}: {said}"
        );
    }
    let on_disk = host.sh(
        "root",
        &format!("grep -rl sk-ant {STATE} /run/firefly-forage || true"),
    )?;
    ensure!(on_disk.is_empty(), "the login is on disk: {on_disk}");
    ensure!(host.probe("alice", &["offer", "empty", "0"])?.ok());
    ensure!(!status(&host, "alice")?.contains("host-login"));

    ensure!(host.probe("alice", &["offer", "login", "+445"])?.ok());
    host.sh(
        "root",
        "pkill -KILL -x foraged; while pgrep -x foraged; do :; done",
    )?;
    host.start_daemon()?;
    ensure!(!status(&host, "alice")?.contains("host-login"));
    Ok(())
}

#[test]
fn nobody_speaks_for_another() -> Result<()> {
    let host = BusHost::shared()?;
    for user in ["root", "bob"] {
        let outcome = host.probe(user, &["offer", "login", "+445", "alice"])?;
        ensure!(
            !outcome.ok() && outcome.text().contains("AccessDenied"),
            "{user}: {}",
            outcome.text()
        );
    }
    let own = host.probe("bob", &["offer", "login", "+445", "bob"])?;
    ensure!(own.ok(), "{}", own.text());
    ensure!(host.probe("bob", &["offer", "empty", "0"])?.ok());
    for user in ["mallory", "nobody"] {
        let outcome = host.probe(user, &["offer", "login", "+445"])?;
        ensure!(
            outcome.text().contains("AccessDenied"),
            "{}",
            outcome.text()
        );
    }
    Ok(())
}
