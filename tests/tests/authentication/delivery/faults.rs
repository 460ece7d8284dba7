//! A sandbox whose secrets directory cannot be changed: that one is told and comes right by itself,
//! others are not held up.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use super::{USER, store_token};
use crate::support::{SECRET, Sandbox, SecretFile, Undo, alone, ctl, store, token};

/// Sets the flags of a directory on the host: 16 lets nobody change it, root neither.
const FLAGS: &str = "perl -e 'use Fcntl; sysopen(my $d, $ARGV[0], O_RDONLY) or die $!; \
    my $flags = pack(q(l!), $ARGV[1]); ioctl($d, 0x40086602, $flags) or die $!'";

fn place(sandbox: &Sandbox) -> String {
    format!("/run/firefly-forage/secrets/{}", sandbox.id)
}

fn freeze(testbed: &'static Testbed, directory: &str) -> Result<Undo> {
    let undo = Undo::new(testbed, format!("{FLAGS} {directory} 0"));
    let done = testbed.sh("root", &format!("{FLAGS} {directory} 16"))?;
    ensure!(done.ok(), "{}", done.text());
    Ok(undo)
}

#[test]
fn a_secret_that_cannot_be_written_is_tried_again() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    let first = Sandbox::up(testbed, "bob", "stuck", "claude-key", &[])?;
    let other = Sandbox::up(testbed, "bob", "free", "claude-key", &[])?;
    let read = |sandbox: &Sandbox| sandbox.exec_ok(&["cat", "/run/secrets/anthropic"]);
    let original = read(&first)?;
    let frozen = freeze(testbed, &place(&first))?;
    testbed.write_file(SECRET, "root", "0400", b"sk-new")?;
    let seconds = Duration::from_secs(10);
    wait_for("the other one", seconds, || {
        Ok((read(&other)? == "sk-new").then_some(()))
    })?;
    wait_for("the warning", seconds, || {
        let stale = first.status()?["credentials"][0]["stale"].take();
        let told = stale
            .as_str()
            .is_some_and(|why| why.contains("cannot be written"));
        Ok(told.then_some(()))
    })?;
    ensure!(read(&first)? == original);
    drop(frozen);
    // Nobody does anything more.
    let told = || Ok::<_, anyhow::Error>(first.status()?["credentials"][0]["stale"].is_null());
    wait_for("the new value", Duration::from_secs(65), || {
        Ok((read(&first)? == "sk-new" && told()?).then_some(()))
    })?;
    file.restore()
}

#[test]
fn a_token_that_cannot_be_written_is_told_and_brought_again() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    store_token(testbed, &token('o'))?;
    let first = Sandbox::up(testbed, USER, "behind", "ways", &[])?;
    let other = Sandbox::up(testbed, USER, "ahead", "ways", &[])?;
    let file = "/run/secrets/claude-credentials/.credentials.json";
    let holds = |sandbox: &Sandbox, letter: char| {
        Ok::<_, anyhow::Error>(sandbox.exec_ok(&["cat", file])?.contains(&token(letter)))
    };
    let frozen = freeze(testbed, &format!("{}/claude-credentials", place(&first)))?;
    let stored = store(testbed, USER, &token('n'))?;
    ensure!(stored.text().contains("behind"), "{}", stored.text());
    ensure!(holds(&first, 'o')? && holds(&other, 'n')?);
    let stale = first.status()?["credentials"][0]["stale"].take();
    ensure!(stale.is_string(), "{stale}");
    drop(frozen);
    let told = || Ok::<_, anyhow::Error>(first.status()?["credentials"][0]["stale"].is_null());
    wait_for("the new token", Duration::from_secs(65), || {
        Ok((holds(&first, 'n')? && told()?).then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_revocation_that_cannot_be_done_is_told_and_tried_again() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    store_token(testbed, &token('r'))?;
    let first = Sandbox::up(testbed, USER, "held", "ways", &[])?;
    let other = Sandbox::up(testbed, USER, "let-go", "ways", &[])?;
    let file = "/run/secrets/claude-credentials/.credentials.json";
    let has = |sandbox: &Sandbox| Ok::<_, anyhow::Error>(sandbox.exec(&["test", "-e", file])?.ok());
    let frozen = freeze(testbed, &format!("{}/claude-credentials", place(&first)))?;
    let revoked = ctl(testbed, USER, &["auth", "revoke", "held", "let-go"])?;
    ensure!(
        !revoked.ok() && revoked.text().contains("held"),
        "{}",
        revoked.text()
    );
    ensure!(has(&first)? && !has(&other)?);
    let credential = first.status()?["credentials"][0].take();
    ensure!(
        credential["revoked"] == false && credential["stale"].is_string(),
        "{credential}"
    );
    drop(frozen);
    wait_for("the removal", Duration::from_secs(65), || {
        Ok((!has(&first)?).then_some(()))
    })?;
    wait_for("that it is told", Duration::from_secs(10), || {
        let revoked = first.status()?["credentials"][0]["revoked"].take();
        Ok((revoked == true).then_some(()))
    })?;
    // A start changes nothing about it, a refresh does.
    ensure!(ctl(testbed, USER, &["stop", "held"])?.ok());
    let start = ctl(testbed, USER, &["start", "held"])?;
    ensure!(start.ok(), "{}", start.text());
    ensure!(!has(&first)?);
    let status = first.exec(&["claude", "auth", "status"])?;
    ensure!(
        status.stdout.contains("\"loggedIn\": false"),
        "{}",
        status.text()
    );
    let refreshed = ctl(testbed, USER, &["auth", "refresh", "held"])?;
    ensure!(refreshed.ok(), "{}", refreshed.text());
    ensure!(has(&first)?);
    Ok(())
}
