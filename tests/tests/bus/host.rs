//! A private bus with the shipped policy, the real daemon on it, and clients of several uids. All
//! of it lives in mount and pid namespaces of its own, which end with the test process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use forage_tests::testbed::{self, Outcome, Profile};

pub(crate) const CONFIG: &str = r#"
user = "alice"
[secrets]
anthropic = "/etc/secret"
[templates.claude]
description = "Claude Code"
root = "/srv/claude"
[templates.claude.agents.claude]
command = "/usr/local/bin/claude"
"#;

/// The host. Dropping it ends everything in it.
pub(crate) struct BusHost {
    dir: tempfile::TempDir,
    keeper: u32,
    child: Child,
    _stdin: Option<ChildStdin>,
    notify: UnixDatagram,
}

impl BusHost {
    /// The host tests share that leave no state behind, or only that of a user of their own.
    pub(crate) fn shared() -> Result<&'static Self> {
        static HOST: OnceLock<Result<BusHost>> = OnceLock::new();
        HOST.get_or_init(|| Self::start(CONFIG))
            .as_ref()
            .map_err(|error| anyhow!("{error:#}"))
    }

    /// A host with a daemon whose configuration is `config`.
    pub(crate) fn start(config: &str) -> Result<Self> {
        let mut host = Self::without_daemon(config)?;
        host.start_daemon()?;
        Ok(host)
    }

    /// A host whose daemon is not started.
    pub(crate) fn without_daemon(config: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("forage-bus-").tempdir()?;
        let path = dir.path();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        install(path, config)?;
        let notify = UnixDatagram::bind(path.join("notify"))?;
        fs::set_permissions(
            path.join("notify"),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )?;
        notify.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut child = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
            ])
            .arg(path.join("host.sh"))
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run unshare")?;
        let stdin = child.stdin.take();
        let mut address = String::new();
        let stdout = child.stdout.take().context("no output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(address.starts_with("unix:"), "the bus did not start");
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let keeper = fs::read_to_string(children)?
            .trim()
            .parse()
            .context("no process 1")?;
        Ok(Self {
            dir,
            keeper,
            child,
            _stdin: stdin,
            notify,
        })
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start_daemon(&mut self) -> Result<()> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("foraged.log"))?;
        let program = self.path("foraged");
        self.enter("foraged", &[program.to_str().context("path")?])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()?;
        self.wait_for("READY=1")
    }

    /// Waits until the daemon says this to its service manager.
    pub(crate) fn wait_for(&self, line: &str) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let length = self
                .notify
                .recv(&mut buffer)
                .with_context(|| format!("the daemon did not say {line}:\n{}", self.log()))?;
            if String::from_utf8_lossy(&buffer[..length])
                .lines()
                .any(|said| said == line)
            {
                return Ok(());
            }
        }
    }

    /// What the daemon logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("foraged.log")).unwrap_or_default()
    }

    /// A file in the host's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command as a user of the host.
    pub(crate) fn enter(&self, user: &str, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.keeper))
            .args(["--mount", "--pid", "--"]);
        if user != "root" {
            let group = if user == "nobody" { "nogroup" } else { user };
            command.args([
                "setpriv",
                &format!("--reuid={user}"),
                &format!("--regid={group}"),
            ]);
            command.arg("--init-groups");
        }
        command
            .args(["env", "--chdir=/", "--"])
            .args(argv)
            .env_clear()
            .env(
                "PATH",
                format!(
                    "{}:/usr/bin:/bin:/usr/sbin:/sbin",
                    self.dir.path().display()
                ),
            )
            .env("LANG", "C.UTF-8")
            .env(
                "DBUS_SYSTEM_BUS_ADDRESS",
                format!("unix:path={}", self.path("bus").display()),
            );
        command
    }

    /// Runs a command as a user.
    pub(crate) fn run(&self, user: &str, argv: &[&str]) -> Result<Outcome> {
        let began = std::time::Instant::now();
        let output = self.enter(user, argv).stdin(Stdio::null()).output()?;
        Ok(Outcome {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: began.elapsed(),
        })
    }

    /// Runs a line of shell that has to succeed.
    pub(crate) fn sh(&self, user: &str, line: &str) -> Result<String> {
        let outcome = self.run(user, &["sh", "-c", line])?;
        ensure!(outcome.ok(), "{line}: {}", outcome.text());
        Ok(outcome.stdout)
    }

    /// Calls a method of the daemon with busctl; `what` is interface, member, signature, values.
    pub(crate) fn call(&self, user: &str, interface: &str, what: &[&str]) -> Result<Outcome> {
        let full = format!("org.firefly.Forage1.{interface}");
        let mut argv = vec![
            "busctl",
            "--system",
            "call",
            "org.firefly.Forage1",
            "/org/firefly/Forage1",
            &full,
        ];
        argv.extend(what);
        self.run(user, &argv)
    }

    /// Runs the probe, a client that does what no good client does.
    pub(crate) fn probe(&self, user: &str, arguments: &[&str]) -> Result<Outcome> {
        let program = self.path("probe");
        let mut argv = vec![program.to_str().context("path")?];
        argv.extend(arguments);
        self.run(user, &argv)
    }
}

impl Drop for BusHost {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn install(dir: &Path, config: &str) -> Result<()> {
    let source = testbed::repository();
    let here = source.join("tests/tests/bus");
    fs::copy(here.join("host.sh"), dir.join("host.sh"))?;
    let bus = fs::read_to_string(here.join("bus.conf"))?;
    fs::write(
        dir.join("bus.conf"),
        bus.replace("@DIR@", dir.to_str().context("path")?),
    )?;
    let policy = "org.firefly.Forage1.conf";
    fs::copy(
        source.join("daemon/data/dbus").join(policy),
        dir.join(policy),
    )?;
    fs::write(dir.join("config.toml"), config)?;
    let binaries = testbed::build(Profile::Dev)?;
    for name in ["foraged", "forage-ctl", "probe"] {
        let Some(path) = binaries.get(name) else {
            bail!("cargo built no {name}")
        };
        // A copy by this process could be open in the child of another test when it is to be run.
        let copied = Command::new("cp").arg(path).arg(dir.join(name)).status()?;
        ensure!(copied.success(), "{name} was not copied");
    }
    Ok(())
}
