//! The real program on a real bus of its own, where a stand-in answers for the daemon and the shim.

mod auth;
mod complete;
mod host_login;
mod names;
#[expect(clippy::unwrap_used, reason = "a stand-in may end with the test")]
mod stand_in;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use forage_tests::skip::{CanRun, skip};

struct Bus {
    directory: tempfile::TempDir,
    daemon: Child,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _gone = self.daemon.wait();
    }
}

impl Bus {
    /// Starts a bus; `None` where the machine has no `dbus-daemon`.
    fn start(test: &str) -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let configuration = directory.path().join("bus.conf");
        let socket = directory.path().join("socket");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/><allow send_destination=\"*\"/><allow own=\"*\"/>\
             <allow receive_sender=\"*\"/><deny send_interface=\"org.firefly.Forage1.Tokens\" send_member=\"Remove\"/></policy>\
             </busconfig>",
            socket.display()
        );
        std::fs::write(&configuration, text)?;
        let daemon = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg(format!("--config-file={}", configuration.display()))
            .spawn();
        let Ok(daemon) = daemon else {
            skip(test, "dbus-daemon is not installed", CanRun::Here)?;
            return Ok(None);
        };
        let bus = Self { directory, daemon };
        let begun = Instant::now();
        // The socket is there a moment before it listens.
        while UnixStream::connect(&socket).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(10), "no bus");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(bus))
    }

    fn address(&self) -> String {
        let path: &Path = self.directory.path();
        format!("unix:path={}/socket", path.display())
    }

    fn ctl(&self, arguments: &[&str], input: &[u8]) -> Result<(i32, String, String)> {
        self.run(
            Command::new(env!("CARGO_BIN_EXE_forage-ctl")),
            arguments,
            input,
        )
    }

    /// Runs the program as a command that was prepared says.
    fn run(
        &self,
        mut command: Command,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<(i32, String, String)> {
        let mut child = command
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address())
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A program that does not read its input is no failure of the test.
        let _unread = child.stdin.take().context("stdin")?.write_all(input);
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output()?;
        let (out, err) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
        eprintln!("$ forage-ctl {arguments:?}\n{out}{err}=> {status}");
        Ok((status.code().context("a signal")?, out, err))
    }
}

#[test]
fn without_a_daemon_it_says_how_to_start_it() -> Result<()> {
    let Some(bus) = Bus::start("without_a_daemon_it_says_how_to_start_it")? else {
        return Ok(());
    };
    for arguments in [&["ps"][..], &["up", "s1", "-t", "claude"], &["down", "s1"]] {
        let (code, out, err) = bus.ctl(arguments, b"")?;
        ensure!((code, out.as_str()) == (6, ""));
        ensure!(err.contains("hint: start it with: sudo systemctl start firefly-forage.service"));
    }
    Ok(())
}

#[test]
fn a_sandbox_from_up_to_down() -> Result<()> {
    let Some(bus) = Bus::start("a_sandbox_from_up_to_down")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let up = ["up", "s1", "-t", "claude", "--repo", "/x", "-v"];
    let (code, out, err) = bus.ctl(&up, b"")?;
    ensure!(code == 0 && out.starts_with("s1 is ready in "));
    let lines: Vec<&str> = err.lines().collect();
    ensure!(lines[0].starts_with("  root  ") && lines[1].starts_with("  booting  "));
    ensure!(lines[2] == "level=DEBUG msg=\"using stored long-lived Claude OAuth token\"");
    ensure!(lines[3] == "warning: it expires soon");
    ensure!(lines[4].starts_with("next: forage-ctl shell s1 "));

    let (code, out, err) = bus.ctl(&["up", "broken", "-t", "claude"], b"")?;
    ensure!((code, out.as_str()) == (8, ""));
    ensure!(err.contains("  root        failed after "));
    ensure!(err.ends_with("error: it did not boot\nhint: look inside\n"));

    let (code, _, err) = bus.ctl(&["claude", "token", "remove"], b"")?;
    ensure!(code == 5 && err.contains("does not let you") && err.contains("hint:"));
    let (code, out, _) = bus.ctl(&["ps", "--json"], b"")?;
    ensure!(code == 0 && out.contains("\"name\": \"s1\""));
    let (code, out, _) = bus.ctl(&["status", "s1"], b"")?;
    ensure!(code == 0 && out.contains("repository  /x\n"));
    let (code, out, _) = bus.ctl(&["stop", "s1"], b"")?;
    ensure!(code == 0 && out.starts_with("s1 is stopped ("));
    let (code, out, _) = bus.ctl(&["down", "s1"], b"")?;
    ensure!(code == 0 && out.ends_with("; the repository /x was not touched\n"));
    Ok(())
}

#[test]
fn a_command_over_the_whole_way() -> Result<()> {
    let Some(bus) = Bus::start("a_command_over_the_whole_way")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let script = "cat; echo err >&2; exit 7";
    let (code, out, err) = bus.ctl(&["exec", "s1", "--", "sh", "-c", script], b"in")?;
    ensure!((code, out.as_str(), err.as_str()) == (7, "in", "err\n"));
    let (code, ..) = bus.ctl(&["exec", "s1", "--", "sh", "-c", "kill $$"], b"")?;
    ensure!(code == 143);
    let exec = |redirections: &str| {
        let program = env!("CARGO_BIN_EXE_forage-ctl");
        Command::new("sh")
            .arg("-c")
            .arg(format!(
                "{program} exec s1 -- sh -c 'cat; echo x' {redirections}"
            ))
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
            .output()
    };
    ensure!(exec("<&-")?.stdout == b"x\n", "closed");
    ensure!(exec("</dev/null")?.stdout == b"x\n", "null");
    ensure!(exec("</etc/hostname >&-")?.status.success(), "no output");
    ensure!(exec("| head -c 0")?.status.success(), "no reader");
    Ok(())
}

#[test]
fn a_token_travels_in_sealed_memory() -> Result<()> {
    let Some(bus) = Bus::start("a_token_travels_in_sealed_memory")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let store = ["claude", "token", "store", "-"];
    let (code, out, err) = bus.ctl(&store, b"sk-ant-oat01-CANARY\n")?;
    ensure!((code, err.as_str()) == (0, ""));
    ensure!(
        out.contains("it expires on 2027-03-19\n") && out.contains("sandboxes: seen 20 bytes\n")
    );
    let (code, out, err) = bus.ctl(&["claude", "token", "store", "sk-ant-oat01-CANARY"], b"")?;
    ensure!(code == 0 && out.contains("seen 19 bytes"));
    ensure!(err.starts_with("warning: a token on the command line"));
    ensure!(!err.contains("CANARY") && !out.contains("CANARY"));
    let (code, out, err) = bus.ctl(&["claude", "token", "status"], b"")?;
    ensure!((code, out.as_str()) == (3, "state  missing\n"));
    ensure!(err.contains("hint: claude setup-token"));
    Ok(())
}
