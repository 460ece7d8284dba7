//! A person at an agent that is kept running: the real Claude Code in a sandbox, with a line for every
//! prompt and every answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::testbed::Testbed;
use crate::vendor::Vendor;

/// How long it has for a turn.
const PATIENCE: Duration = Duration::from_secs(90);

/// The process tells its number before it becomes the agent.
const START: &str = "echo \"{\\\"pid\\\":$$}\"; exec claude -p --verbose \
     --input-format stream-json --output-format stream-json";

/// What came of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whether the agent says that it went wrong.
    pub failed: bool,
    /// What it says.
    pub text: String,
}

/// One process of the agent.
#[derive(Debug)]
pub struct Agent<'a> {
    testbed: &'a Testbed,
    user: String,
    sandbox: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Its process and when that began, as the sandbox's kernel tells it.
    identity: String,
    pid: u64,
}

impl<'a> Agent<'a> {
    /// Starts one in a running sandbox.
    ///
    /// # Errors
    /// The sandbox does not run it.
    pub fn start(testbed: &'a Testbed, user: &str, sandbox: &str, vendor: &Vendor) -> Result<Self> {
        let base = format!("ANTHROPIC_BASE_URL={}", vendor.url);
        let argv = [
            "forage-ctl",
            "exec",
            "-e",
            &base,
            sandbox,
            "--",
            "sh",
            "-c",
            START,
        ];
        let mut child = testbed
            .command(user, &argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("no agent was started")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = BufReader::new(stdout.context("the agent has no output")?);
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.all(|line| sender.send(line).is_ok())
        });
        let mut agent = Self {
            testbed,
            user: user.to_owned(),
            sandbox: sandbox.to_owned(),
            child,
            stdin,
            lines,
            identity: String::new(),
            pid: 0,
        };
        let first = agent.line()?;
        agent.pid = first["pid"].as_u64().context("the agent tells no pid")?;
        agent.identity = agent.look()?;
        Ok(agent)
    }

    /// The number of its process in the sandbox.
    pub fn pid(&self) -> u64 {
        self.pid
    }

    /// Types a prompt and waits for what comes of it.
    ///
    /// # Errors
    /// It ends, or is silent.
    pub fn prompt(&mut self, text: &str) -> Result<Turn> {
        self.ask(text)?;
        self.answer()
    }

    /// Types a prompt.
    ///
    /// # Errors
    /// It has ended.
    pub fn ask(&mut self, text: &str) -> Result<()> {
        let content = json!([{"type": "text", "text": text}]);
        let message = json!({"role": "user", "content": content});
        let line = json!({"type": "user", "message": message});
        let stdin = self.stdin.as_mut().context("its input has ended")?;
        writeln!(stdin, "{line}").context("the agent takes no prompt")
    }

    /// Waits for what comes of the prompt.
    ///
    /// # Errors
    /// It ends, or is silent.
    pub fn answer(&mut self) -> Result<Turn> {
        loop {
            let line = self.line()?;
            if line["type"] == "result" {
                return Ok(Turn {
                    failed: line["is_error"] != false,
                    text: line["result"].as_str().unwrap_or_default().to_owned(),
                });
            }
        }
    }

    /// It is still the process it was at first.
    ///
    /// # Errors
    /// It is not.
    pub fn is_the_same(&self) -> Result<()> {
        let now = self.look()?;
        ensure!(now == self.identity, "{now}, which was {}", self.identity);
        Ok(())
    }

    /// Ends its input, and so it.
    ///
    /// # Errors
    /// It is gone already.
    pub fn end(mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        Ok(self.child.wait()?)
    }

    fn line(&self) -> Result<Value> {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.context("the agent says nothing")?;
        serde_json::from_str(&line).with_context(|| format!("the agent says {line:?}"))
    }

    /// Number, name and start of its process.
    fn look(&self) -> Result<String> {
        let stat = format!("/proc/{}/stat", self.pid);
        let argv = ["forage-ctl", "exec", &self.sandbox, "--", "cut", "-d "];
        let argv: Vec<&str> = argv.into_iter().chain(["-f1,22", &stat]).collect();
        self.testbed.run_ok(&self.user, &argv)
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // Without its input it ends by itself. One that is killed would be in the host's lists until
        // whoever inherits it looks after it.
        drop(self.stdin.take());
        let silent = loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            }
        };
        if silent {
            let _ended = self.child.kill();
        }
        let _status = self.child.wait();
    }
}
