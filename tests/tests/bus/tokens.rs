//! The token store: what it takes, what it writes, who sees it.

use anyhow::{Result, ensure};

use crate::host::BusHost;

const FILE: &str = "/var/lib/firefly-forage/tokens/claude-oauth.json";

#[test]
fn only_a_fully_sealed_memfd_is_taken() -> Result<()> {
    let host = BusHost::start("user = \"alice\"\n")?;
    for kind in [
        "unsealed",
        "seal-only",
        "no-write-seal",
        "empty",
        "oversized",
        "sparse",
        "pipe",
        "file",
        "directory",
        "socket",
        "device",
    ] {
        let outcome = host.probe("alice", &["store", kind])?;
        ensure!(!outcome.ok(), "a {kind} was taken");
        ensure!(
            outcome.text().contains("Forage1.Error.Invalid"),
            "{kind}: {}",
            outcome.text()
        );
    }
    ensure!(
        host.sh("root", "ls -A /var/lib/firefly-forage/tokens")?
            .is_empty(),
        "something was written"
    );
    let outcome = host.probe("alice", &["store", "good"])?;
    ensure!(outcome.ok(), "{}", outcome.text());
    Ok(())
}

#[test]
fn the_file_is_as_specified() -> Result<()> {
    let host = BusHost::start("user = \"alice\"\n")?;
    ensure!(host.probe("alice", &["store", "good"])?.ok());
    let about = host.sh("root", &format!("stat -c '%a %U %G' {FILE}"))?;
    ensure!(about.trim() == "600 foraged foraged", "{about}");
    let json: serde_json::Value = serde_json::from_str(&host.sh("root", &format!("cat {FILE}"))?)?;
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    ensure!(text("token").starts_with("sk-ant-oat01-"), "token");
    let (created, expires) = (text("createdAt"), text("expiresAt"));
    ensure!(created.len() == 20 && created.ends_with('Z'), "{created}");
    let next = created[..4].parse::<u32>()? + 1;
    let leap = &created[4..10] == "-02-29";
    ensure!(
        leap || expires == format!("{next}{}", &created[4..]),
        "{created} to {expires}"
    );
    ensure!(json["uid"] == 61000, "{json}");
    // Another member's lies apart.
    ensure!(host.probe("bob", &["store", "good"])?.ok());
    host.sh(
        "root",
        "test -f /var/lib/firefly-forage/tokens/61001/claude-oauth.json",
    )?;
    Ok(())
}

#[test]
fn four_states_by_the_dates_in_the_file() -> Result<()> {
    let host = BusHost::start("user = \"alice\"\n")?;
    let put = |created: &str, expires: &str| {
        host.sh("root", &format!(
            "umask 077; printf '{{\"token\":\"sk-ant-oat01-%095d\",\"createdAt\":\"%s\",\"expiresAt\":\"%s\"}}' 7 \"$(date -u +%FT%TZ -d '{created}')\" \"$(date -u +%FT%TZ -d '{expires}')\" > {FILE}; chown foraged:foraged {FILE}"
        ))
    };
    let state = || {
        host.run(
            "alice",
            &["forage-ctl", "claude", "token", "status", "--json"],
        )
    };
    ensure!(state()?.stdout.contains("missing"), "{}", state()?.text());
    for (expires, expected) in [
        ("+31 days", "valid"),
        ("+29 days", "expiring"),
        ("-1 hour", "expired"),
    ] {
        put("-340 days", expires)?;
        host.sh("root", "pkill -HUP -x foraged")?;
        host.wait_for("READY=1")?;
        ensure!(
            state()?.stdout.contains(&format!("\"{expected}\"")),
            "{expires}: {}",
            state()?.text()
        );
    }
    Ok(())
}

#[test]
fn a_damaged_file_is_said_kept_and_never_quoted() -> Result<()> {
    for content in [
        "",
        "{",
        "[]",
        "{\"token\":7}",
        "\\0\\0",
        "{\"token\":\"CANARY\",\"createdAt\":\"CANARY\",\"expiresAt\":\"CANARY\"}",
    ] {
        let mut host = BusHost::without_daemon("user = \"alice\"\n")?;
        host.sh(
            "root",
            &format!("umask 077; printf '{content}' > {FILE}; chown foraged:foraged {FILE}"),
        )?;
        host.start_daemon()?;
        let before = host.sh("root", &format!("sha256sum {FILE}"))?;
        let status = host.run("alice", &["forage-ctl", "claude", "token", "status"])?;
        ensure!(
            status.text().contains("missing") || status.text().contains("warning"),
            "{}",
            status.text()
        );
        ensure!(
            !status.text().contains("CANARY") && !host.log().contains("CANARY"),
            "quoted"
        );
        ensure!(
            before == host.sh("root", &format!("sha256sum {FILE}"))?,
            "the file was changed"
        );
    }
    Ok(())
}

#[test]
fn texts_that_are_not_a_token() -> Result<()> {
    let host = BusHost::shared()?;
    let token = format!("sk-ant-oat01-{}", "a".repeat(95));
    let (first, last) = token.split_at(60);
    let store = |text: &str| {
        host.run(
            "bob",
            &[
                "sh",
                "-c",
                "printf %s \"$1\" | forage-ctl claude token store -",
                "-",
                text,
            ],
        )
    };
    for (text, expected) in [
        (String::new(), "empty"),
        (format!("{token}#state"), "#"),
        (format!("sk-ant-api03-{}", "a".repeat(95)), "secret"),
        (format!("sk-ant-ort01-{}", "a".repeat(95)), "refresh"),
        (format!("{token}\n{token}"), ""),
        ("ü".repeat(60), ""),
    ] {
        let outcome = store(&text)?;
        ensure!(outcome.code() == 1, "{text:?}: {}", outcome.text());
        ensure!(
            outcome.stderr.contains(expected),
            "{text:?}: {}",
            outcome.stderr
        );
        ensure!(
            text.is_empty() || !outcome.text().contains(&text),
            "the text was quoted"
        );
    }
    for wrapped in [
        token.clone(),
        format!("{token}\n"),
        format!("  {first}\n{last}\n"),
    ] {
        let outcome = store(&wrapped)?;
        ensure!(outcome.ok(), "{wrapped:?}: {}", outcome.text());
    }
    let removed = host.run("bob", &["forage-ctl", "claude", "token", "remove"])?;
    ensure!(removed.ok(), "{}", removed.text());
    let again = host.run("bob", &["forage-ctl", "claude", "token", "remove"])?;
    ensure!(again.code() == 3, "{}", again.text());
    Ok(())
}
