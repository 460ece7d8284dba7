//! A booted testbed, as tests and xtask hold it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::cargo::Profile;
use super::paths::runs;
use super::prepare::{Prepared, prepare};
use super::process::last_lines;
use super::run_dir::{self, Spec, State};
use super::supervisor::log_path;
use super::wait::wait_for;

/// How long a reboot may take.
const REBOOT: Duration = Duration::from_secs(90);

/// How to boot.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs with different names do not see each other.
    pub name: String,
    /// How the binaries are built.
    pub profile: Profile,
}

impl Options {
    /// A run named after this process, with quickly built binaries.
    pub fn named(prefix: &str) -> Self {
        Self {
            name: format!("{prefix}-{}", std::process::id()),
            profile: Profile::Dev,
        }
    }
}

/// A booted host. It ends when this is dropped or its process ends, unless
/// [`Testbed::leave_running`] was called. Every method may be called from several threads at once.
#[derive(Debug)]
pub struct Testbed {
    name: String,
    pub(super) leader: i32,
    warning: Option<String>,
    supervisor: Option<(Child, ChildStdin)>,
}

impl Testbed {
    /// The testbed that all tests of this process share, booted at the first call.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Testbed, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let host = Self::boot(&Options::named("test")).map_err(|error| format!("{error:#}"))?;
            match &host.warning {
                Some(warning) => Err(warning.clone()),
                None => Ok(host),
            }
        });
        shared
            .as_ref()
            .map_err(|error| anyhow!("no testbed: {error}"))
    }

    /// Prepares what is missing and boots.
    pub fn boot(options: &Options) -> Result<Self> {
        Self::boot_prepared(&options.name, prepare(options.profile)?)
    }

    /// Boots what was prepared before.
    pub fn boot_prepared(name: &str, prepared: Prepared) -> Result<Self> {
        let program = prepared.binaries.get("testbed-supervisor").cloned();
        let program = program.context("cargo built no testbed-supervisor")?;
        let Prepared {
            host,
            sandbox,
            nix,
            binaries,
        } = prepared;
        let run = run_dir::create(&Spec {
            name: name.to_owned(),
            host,
            sandbox,
            nix,
            binaries,
        })?;
        let log = log_path(&run);
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let errors = options
            .open(&log)
            .context("cannot make the supervisor's log")?;
        let mut child = Command::new(program)
            .arg(&run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(
                errors
                    .try_clone()
                    .context("cannot share the supervisor's log")?,
            )
            .spawn()
            .context("cannot start the testbed's supervisor")?;
        let stdin = child
            .stdin
            .take()
            .context("the supervisor has no standard input")?;
        let stdout = child
            .stdout
            .take()
            .context("the supervisor has no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("cannot hear from the supervisor")?;
        if line.trim() != "ready" {
            drop(stdin);
            child.wait().context("cannot wait for the supervisor")?;
            // The supervisor has removed its directory; its words are still in the open file.
            bail!("the testbed did not boot:\n{}", last_words(&errors));
        }
        let state: State = run_dir::read(&run.join("state.json"))?;
        Ok(Self {
            name: name.to_owned(),
            leader: state.leader,
            warning: state.warning,
            supervisor: Some((child, stdin)),
        })
    }

    /// A run that is up already, as `cargo xtask testbed up` leaves one.
    pub fn attach(name: &str) -> Result<Self> {
        if !run_dir::running()?.iter().any(|running| running == name) {
            bail!("no testbed named {name} is up; start it with `cargo xtask testbed up`");
        }
        let state: State = run_dir::read(&runs().join(name).join("state.json"))
            .context("the testbed is still booting or already ending")?;
        Ok(Self {
            name: name.to_owned(),
            leader: state.leader,
            warning: state.warning,
            supervisor: None,
        })
    }

    /// Lets the host run on after this process; [`down`](super::down) ends it.
    pub fn leave_running(mut self) -> Result<()> {
        if let Some((_, mut stdin)) = self.supervisor.take() {
            stdin
                .write_all(b"k")
                .context("cannot leave the testbed running")?;
        }
        Ok(())
    }

    /// Has the host reboot, as `systemctl reboot` does, and waits until it is up again: `/run` is
    /// fresh, everything else is as it was.
    pub fn reboot(&mut self) -> Result<()> {
        let place = runs().join(&self.name).join("state.json");
        let before: State = run_dir::read(&place)?;
        self.run_ok("root", &["systemctl", "--no-block", "reboot"])?;
        let state = wait_for("the host to be up again", REBOOT, || {
            let state: State = run_dir::read(&place).context("the host did not boot again")?;
            Ok((state.boots > before.boots).then_some(state))
        })?;
        self.leader = state.leader;
        self.warning = state.warning;
        Ok(())
    }

    /// The name of the run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's first process, as this machine numbers it.
    pub fn leader(&self) -> i32 {
        self.leader
    }

    /// What is wrong with a host that came up all the same.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if let Some((mut child, stdin)) = self.supervisor.take() {
            drop(stdin);
            if let Err(error) = child.wait() {
                eprintln!("testbed: cannot wait for the end of {}: {error}", self.name);
            }
        }
    }
}

fn last_words(mut log: &std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut words = Vec::new();
    // Without its words there is still the error that it did not boot.
    if log.rewind().is_ok() {
        log.read_to_end(&mut words).unwrap_or_default();
    }
    last_lines(&words, 30)
}
