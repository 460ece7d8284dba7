//! The login on the host is offered before what may use it, and never stands in its way.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use nix::unistd::geteuid;

use crate::{Bus, stand_in};

/// Who runs the program where the tests are root's, who has no login: a bus lets in whom the host knows.
const SOMEBODY: u32 = 65_534;

/// A user with a configuration directory of their own.
struct User<'a> {
    bus: &'a Bus,
    program: PathBuf,
    config: PathBuf,
}

impl<'a> User<'a> {
    fn new(bus: &'a Bus) -> Result<Self> {
        let place = bus.directory.path();
        std::fs::set_permissions(place, Permissions::from_mode(0o755))?;
        let program = place.join("forage-ctl");
        // Not by this process: another test's child would hold it open for writing while it is run.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_forage-ctl"))
            .arg(&program)
            .status()?;
        ensure!(copied.success(), "cp: {copied}");
        let config = place.join("claude");
        std::fs::create_dir(&config)?;
        Ok(Self {
            bus,
            program,
            config,
        })
    }

    fn ctl(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let mut command = Command::new(&self.program);
        command.env("CLAUDE_CONFIG_DIR", &self.config);
        if geteuid().is_root() {
            command.uid(SOMEBODY).gid(SOMEBODY);
        }
        self.bus.run(command, arguments, b"")
    }

    fn log_in(&self, content: &str) -> Result<()> {
        let file = self.config.join(".credentials.json");
        std::fs::write(&file, content)?;
        if geteuid().is_root() {
            chown(&file, Some(SOMEBODY), Some(SOMEBODY))?;
        }
        Ok(())
    }
}

fn content(token: &str, expires_at_ms: i64) -> String {
    format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{token}","refreshToken":"sk-ant-ort01-CANARY",
        "expiresAt":{expires_at_ms},"scopes":["user:inference"]}}}}"#
    )
}

#[test]
fn it_is_offered_before_starts() -> Result<()> {
    let Some(bus) = Bus::start("it_is_offered_before_starts")? else {
        return Ok(());
    };
    let daemon = stand_in::start(&bus.address())?;
    let user = User::new(&bus)?;
    // Without one the daemon learns that there is none.
    let (code, _, err) = user.ctl(&["up", "s1", "-t", "claude", "-q"])?;
    ensure!((code, err.as_str()) == (0, "warning: it expires soon\n"));
    ensure!(daemon.offers() == [(String::new(), 0)]);

    let expires = Timestamp::now().as_millisecond() + 3_600_000;
    user.log_in(&content("sk-ant-oat01-CANARY", expires))?;
    let given = ("sk-ant-oat01-CANARY".to_owned(), expires);
    for line in [
        &["up", "s1", "-t", "claude", "-v"][..],
        &["start", "s1", "-v"],
        &["start", "s1", "s2", "-v"],
        &["start", "s1", "--owner", &uid_of_user()],
    ] {
        let (code, out, err) = user.ctl(line)?;
        ensure!(code == 0 && !out.contains("CANARY") && !err.contains("CANARY"));
        ensure!(daemon.offers() == [given.clone()], "{line:?}");
    }
    // It is nobody's for somebody else, and of no use to what starts nothing.
    for line in [
        &["start", "s1", "--owner", "root"][..],
        &["stop", "s1"],
        &["ps"],
        &["status", "s1"],
    ] {
        user.ctl(line)?;
        ensure!(daemon.offers().is_empty(), "{line:?}");
    }
    Ok(())
}

fn uid_of_user() -> String {
    let own = geteuid();
    let uid = if own.is_root() {
        SOMEBODY
    } else {
        own.as_raw()
    };
    uid.to_string()
}

#[test]
fn it_never_stands_in_the_way() -> Result<()> {
    let Some(bus) = Bus::start("it_never_stands_in_the_way")? else {
        return Ok(());
    };
    let daemon = stand_in::start(&bus.address())?;
    let user = User::new(&bus)?;
    let start = ["start", "s1", "-q"];
    let refused = content("CANARY-refused", Timestamp::now().as_millisecond() + 60_000);
    let expired = content("CANARY", Timestamp::now().as_millisecond() - 60_000);
    for (content, says, offers) in [
        (
            refused.as_str(),
            "does not take the login of Claude Code on this host: it is no",
            1,
        ),
        (&expired, "is skipped: ", 0),
        (
            &expired,
            "is of a login that expired 1 min ago; run claude on the host",
            0,
        ),
        ("CANARY", "is not what Claude Code writes", 0),
    ] {
        user.log_in(content)?;
        let (code, out, err) = user.ctl(&start)?;
        ensure!((code, out.as_str()) == (0, ""), "{err}");
        ensure!(err.starts_with("warning: ") && err.contains(says), "{err}");
        ensure!(err.lines().count() == 1 && !err.contains("CANARY"), "{err}");
        ensure!(daemon.offers().len() == offers);
    }
    Ok(())
}
