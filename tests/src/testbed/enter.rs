//! Running commands in the booted host.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::instance::Testbed;
use super::process::collect;
use super::wait::wait_for;

/// What a command in the host did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, lossily as text.
    pub stdout: String,
    /// Its standard error, lossily as text.
    pub stderr: String,
    /// How long it took, entering included.
    pub took: Duration,
}

impl Outcome {
    /// Whether it exited with 0.
    pub fn ok(&self) -> bool {
        self.status.success()
    }

    /// Its exit code as a shell would give it: 128+n when signal n ended it.
    pub fn code(&self) -> i32 {
        let signal = self.status.signal().unwrap_or_default();
        self.status.code().unwrap_or(128 + signal)
    }

    /// Both streams, for messages.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Testbed {
    /// A command that runs in the host as `user`, in the user's home, with a clean environment.
    /// Its streams are the caller's to set; it ends when its caller does.
    pub fn command(&self, user: &str, argv: &[&str]) -> Command {
        let home = if user == "root" {
            "/root".to_owned()
        } else {
            format!("/home/{user}")
        };
        let mut command = Command::new("/usr/bin/nsenter");
        command
            .args([
                "--target",
                &self.leader().to_string(),
                "--all",
                "--",
                "setpriv",
            ])
            .args(["--pdeathsig", "KILL"]);
        if user != "root" {
            let ids = [
                format!("--reuid={user}"),
                format!("--regid={}", group(user)),
            ];
            command.args(ids).arg("--init-groups");
        }
        let chdir = format!("--chdir={}", if user == "nobody" { "/" } else { &home });
        // Tests that run in the background or under nohup ignore signals; what they test must not.
        command
            .args(["env", "--default-signal", &chdir, "--"])
            .args(argv);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin")
            .env("HOME", &home)
            .env("USER", user)
            .env("LOGNAME", user)
            .env("LANG", "C.UTF-8")
            .env(
                "TERM",
                std::env::var_os("TERM").unwrap_or_else(|| "dumb".into()),
            );
        command
    }

    /// Runs a command and tells what it did, success or not. It is ended after
    /// [`DEADLINE`](super::DEADLINE), which is an error.
    pub fn run(&self, user: &str, argv: &[&str]) -> Result<Outcome> {
        self.run_with_input(user, argv, &[])
    }

    /// The same, with something on its standard input.
    pub fn run_with_input(&self, user: &str, argv: &[&str], input: &[u8]) -> Result<Outcome> {
        let began = Instant::now();
        let output = collect(&mut self.command(user, argv), input)
            .with_context(|| format!("{user}: {}", argv.join(" ")))?;
        Ok(Outcome {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: began.elapsed(),
        })
    }

    /// Runs a command that has to succeed and returns its standard output.
    pub fn run_ok(&self, user: &str, argv: &[&str]) -> Result<String> {
        let outcome = self.run(user, argv)?;
        if !outcome.ok() {
            let (code, text) = (outcome.code(), outcome.text());
            bail!("{user}: {} exited with {code}:\n{text}", argv.join(" "));
        }
        Ok(outcome.stdout)
    }

    /// Runs a line of shell.
    pub fn sh(&self, user: &str, line: &str) -> Result<Outcome> {
        self.run(user, &["sh", "-c", line])
    }

    /// Writes a file of the host's.
    pub fn write_file(&self, path: &str, owner: &str, mode: &str, content: &[u8]) -> Result<()> {
        // install(1) does not follow a link at the place itself.
        let argv = [
            "install",
            "-D",
            "-m",
            mode,
            "-o",
            owner,
            "-g",
            group(owner),
            "/dev/stdin",
            path,
        ];
        let outcome = if content.is_empty() {
            let argv = argv.map(|word| {
                if word == "/dev/stdin" {
                    "/dev/null"
                } else {
                    word
                }
            });
            self.run("root", &argv)?
        } else {
            self.run_with_input("root", &argv, content)?
        };
        if !outcome.ok() {
            bail!("cannot write {path} in the testbed: {}", outcome.text());
        }
        Ok(())
    }

    /// Sends a signal, named as kill(1) does, to a process as the host numbers it.
    pub fn kill(&self, pid: u32, signal: &str) -> Result<()> {
        self.run_ok("root", &["kill", "-s", signal, "--", &pid.to_string()])?;
        Ok(())
    }

    /// Kills the main process of a running unit, and waits until systemd knows.
    pub fn kill_unit(&self, unit: &str) -> Result<()> {
        self.end_unit(unit, "KILL")
    }

    /// Ends the main process of a running unit by a signal, and waits until systemd knows.
    pub fn end_unit(&self, unit: &str, signal: &str) -> Result<()> {
        let pid = self.main_pid(unit)?;
        self.kill(pid, signal)?;
        let end = format!("the end of {unit}");
        wait_for(&end, Duration::from_secs(20), || {
            Ok((self.main_pid_now(unit)? != pid).then_some(()))
        })
    }

    /// The main process of a running unit.
    pub fn main_pid(&self, unit: &str) -> Result<u32> {
        match self.main_pid_now(unit)? {
            0 => bail!("{unit} is not running"),
            pid => Ok(pid),
        }
    }

    /// The main process of a unit, 0 where it has none.
    fn main_pid_now(&self, unit: &str) -> Result<u32> {
        let argv = ["systemctl", "show", "--value", "-p", "MainPID", unit];
        let pid = self.run_ok("root", &argv)?;
        let pid = pid.trim().parse();
        pid.with_context(|| format!("what is the pid of {unit}?"))
    }
}

/// The primary group of a user of the host.
fn group(user: &str) -> &str {
    if user == "nobody" { "nogroup" } else { user }
}
