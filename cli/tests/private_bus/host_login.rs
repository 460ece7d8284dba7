//! The login on the host is offered before what may use it, and never stands in its way.

use std::fs::Permissions;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

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
        Ok(Self {
            bus,
            program,
            config,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CLAUDE_CONFIG_DIR", &self.config);
        if geteuid().is_root() {
            command.uid(SOMEBODY).gid(SOMEBODY);
        }
        command
    }

    fn ctl(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        self.bus.run(self.command(), arguments, b"")
    }

    fn log_in(&self, content: &str) -> Result<()> {
        self.write(".credentials.json", content)
    }

    /// Logs in as programs do that never show half a file.
    fn log_in_by_rename(&self, content: &str) -> Result<()> {
        self.write("new", content)?;
        let file = self.config.join(".credentials.json");
        Ok(std::fs::rename(self.config.join("new"), file)?)
    }

    /// Writes a file in place; one that is new is the user's before it is there.
    fn write(&self, name: &str, content: &str) -> Result<()> {
        let file = self.config.join(name);
        if file.exists() {
            return Ok(std::fs::write(&file, content)?);
        }
        let new = self.bus.directory.path().join("elsewhere");
        std::fs::write(&new, content)?;
        if geteuid().is_root() {
            chown(&new, Some(SOMEBODY), Some(SOMEBODY))?;
        }
        Ok(std::fs::rename(&new, &file)?)
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
    std::fs::create_dir(&user.config)?;
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
    std::fs::create_dir(&user.config)?;
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

#[test]
fn a_daemon_that_takes_long_holds_no_start_up() -> Result<()> {
    let Some(bus) = Bus::start("a_daemon_that_takes_long_holds_no_start_up")? else {
        return Ok(());
    };
    let daemon = stand_in::start(&bus.address())?;
    let user = User::new(&bus)?;
    std::fs::create_dir(&user.config)?;
    let expires = Timestamp::now().as_millisecond() + 60_000;
    user.log_in(&content("CANARY-never", expires))?;
    let (code, _, err) = user.ctl(&["start", "s1", "-v"])?;
    ensure!(code == 0 && daemon.offers().len() == 1);
    ensure!(
        err.starts_with("level=DEBUG msg=\"the daemon takes long over the host login; "),
        "{err}"
    );
    Ok(())
}

/// The service while it runs, and what it tells systemd.
struct Watch {
    process: Child,
    told: UnixDatagram,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl Watch {
    fn start(user: &User<'_>) -> Result<Self> {
        let socket = user.bus.directory.path().join("notify");
        let told = UnixDatagram::bind(&socket)?;
        told.set_read_timeout(Some(Duration::from_secs(10)))?;
        std::fs::set_permissions(&socket, Permissions::from_mode(0o777))?;
        let process = user
            .command()
            .args(["host-login", "watch"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", user.bus.address())
            .env("NOTIFY_SOCKET", &socket)
            .env("JOURNAL_STREAM", "1:1")
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self { process, told })
    }

    /// Waits until systemd is told something.
    fn tells(&self, wanted: &str) -> Result<()> {
        let mut said = [0; 4096];
        loop {
            let length = self
                .told
                .recv(&mut said)
                .with_context(|| wanted.to_owned())?;
            let said = String::from_utf8_lossy(&said[..length]);
            ensure!(!said.contains("CANARY"), "{said}");
            if said.contains(wanted) {
                return Ok(());
            }
        }
    }

    /// Ends it as systemd does; gives what it wrote.
    fn end(mut self) -> Result<String> {
        let pid = Pid::from_raw(self.process.id().try_into()?);
        kill(pid, Signal::SIGTERM)?;
        let status = self.process.wait()?;
        ensure!(status.code() == Some(0), "{status}");
        let mut wrote = String::new();
        let mut stderr = self.process.stderr.take().context("stderr")?;
        stderr.read_to_string(&mut wrote)?;
        Ok(wrote)
    }
}

#[test]
fn a_change_on_the_host_is_handed_over_at_once() -> Result<()> {
    let Some(bus) = Bus::start("a_change_on_the_host_is_handed_over_at_once")? else {
        return Ok(());
    };
    let daemon = stand_in::start(&bus.address())?;
    let user = User::new(&bus)?;
    let watch = Watch::start(&user)?;
    let none = || (String::new(), 0);
    ensure!(daemon.next_offer()? == none());
    watch.tells("STATUS=there is no login in ")?;
    watch.tells("READY=1")?;

    let expires = Timestamp::now().as_millisecond() + 3_600_000;
    let token = |number: u8| format!("sk-ant-oat01-CANARY-{number}");
    let given = |number: u8| (token(number), expires);
    let text = |number: u8| content(&token(number), expires);
    // The directory comes later than the service.
    std::fs::create_dir(&user.config)?;
    user.log_in(&text(1))?;
    ensure!(daemon.next_offer()? == given(1));
    user.log_in_by_rename(&text(2))?;
    ensure!(daemon.next_offer()? == given(2));
    // What is beside it, or the same, or of no use, is not offered.
    user.write("other", "x")?;
    user.log_in_by_rename(&text(2))?;
    user.log_in("CANARY")?;
    watch.tells("STATUS=the login is skipped: ")?;
    user.log_in(&text(3))?;
    ensure!(daemon.next_offer()? == given(3));
    std::fs::remove_file(user.config.join(".credentials.json"))?;
    ensure!(daemon.next_offer()? == none());
    user.log_in(&text(4))?;
    ensure!(daemon.next_offer()? == given(4));

    // A daemon that was restarted has forgotten it.
    drop(daemon);
    watch.tells("STATUS=the daemon does not run; ")?;
    let daemon = stand_in::start(&bus.address())?;
    ensure!(daemon.next_offer()? == given(4));
    let refused = content("CANARY-refused", expires);
    user.log_in_by_rename(&refused)?;
    watch.tells("STATUS=the daemon does not take the login: it is no token")?;
    ensure!(daemon.next_offer()?.0 == "CANARY-refused");
    user.log_in_by_rename(&text(5))?;
    ensure!(daemon.next_offer()? == given(5));
    // A daemon that is busy is asked again.
    user.log_in_by_rename(&content("CANARY-later", expires))?;
    ensure!(daemon.next_offer()?.0 == "CANARY-later");
    watch.tells("STATUS=the login could not be handed over yet: too much is under way")?;
    ensure!(daemon.next_offer()?.0 == "CANARY-later");
    watch.tells("STATUS=handed over the login in ")?;
    let wrote = watch.end()?;
    ensure!(wrote.contains("\n<4>the login is skipped: ") && wrote.starts_with("<6>"));
    let handed = wrote.matches("<6>handed over the login in ").count();
    ensure!(handed == 7 && !wrote.contains("CANARY"), "{wrote}");
    Ok(())
}

#[test]
fn changes_that_never_end_do_not_keep_it_from_being_handed_over() -> Result<()> {
    let Some(bus) = Bus::start("changes_that_never_end_do_not_keep_it_from_being_handed_over")?
    else {
        return Ok(());
    };
    let daemon = stand_in::start(&bus.address())?;
    let user = User::new(&bus)?;
    std::fs::create_dir(&user.config)?;
    let expires = Timestamp::now().as_millisecond() + 3_600_000;
    let token = |number: u8| format!("sk-ant-oat01-CANARY-{number}");
    user.log_in(&content(&token(1), expires))?;
    let watch = Watch::start(&user)?;
    ensure!(daemon.next_offer()? == (token(1), expires));
    watch.tells("READY=1")?;
    let stop = AtomicBool::new(false);
    let offered = std::thread::scope(|scope| -> Result<_> {
        // Somebody who writes the same again and again, faster than anything settles.
        let writer = scope.spawn(|| -> Result<()> {
            let text = content(&token(2), expires);
            while !stop.load(Ordering::Relaxed) {
                user.log_in_by_rename(&text)?;
            }
            Ok(())
        });
        let offered = daemon.next_offer();
        stop.store(true, Ordering::Relaxed);
        writer
            .join()
            .map_err(|_| anyhow!("the writer broke off"))??;
        offered
    })?;
    ensure!(offered == (token(2), expires));
    watch.end()?;
    Ok(())
}

#[test]
fn who_has_no_login_cannot_watch_one() -> Result<()> {
    let Some(bus) = Bus::start("who_has_no_login_cannot_watch_one")? else {
        return Ok(());
    };
    let user = User::new(&bus)?;
    let (code, _, err) = user.ctl(&["host-login", "watch", "--owner", "root"])?;
    ensure!(
        code == 2 && err.contains("hint: run it as that user"),
        "{err}"
    );
    if geteuid().is_root() {
        let (code, _, err) = bus.ctl(&["host-login", "watch"], b"")?;
        ensure!(code == 2 && err.contains("who is not root"), "{err}");
    }
    Ok(())
}
