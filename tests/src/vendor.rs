//! A vendor's API of a test's own, on the internet of the testbed: it answers whom the test says, and
//! tells what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::testbed::Testbed;

/// How long it has to be asked, or to answer its test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Method and path.
    pub what: String,
    /// How it was answered.
    pub status: u16,
    /// The credentials it came with: `Bearer …`, a key as it is, or the one and the other.
    pub credential: String,
}

/// The API.
#[derive(Debug)]
pub struct Vendor {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    untaken: VecDeque<Asked>,
    /// Where it is, as an agent is told.
    pub url: String,
}

impl Vendor {
    /// Starts one beside the testbed's [internet](Testbed::surround).
    ///
    /// # Errors
    /// There is no internet.
    pub fn start(testbed: &Testbed) -> Result<Self> {
        let argv = "ip netns exec internet internet vendor 198.51.100.10:0";
        let argv: Vec<&str> = argv.split(' ').collect();
        let mut child = testbed
            .command("root", &argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("no API was started")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = BufReader::new(stdout.context("the API has no output")?);
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.all(|line| sender.send(line).is_ok())
        });
        let first = lines.recv_timeout(PATIENCE).context("the API is silent")?;
        let address = first.strip_prefix("at ").context("the API is nowhere")?;
        Ok(Self {
            url: format!("http://{address}"),
            stdin: stdin.context("the API has no input")?,
            child,
            lines,
            untaken: VecDeque::new(),
        })
    }

    /// From now on, requests with this credential are answered with 200.
    ///
    /// # Errors
    /// It has ended.
    pub fn accept(&mut self, credential: &str) -> Result<()> {
        self.tell("accept", credential)?;
        self.catch_up()
    }

    /// From now on, requests with this credential are answered with 401, as those with any other are.
    ///
    /// # Errors
    /// It has ended.
    pub fn refuse(&mut self, credential: &str) -> Result<()> {
        self.tell("refuse", credential)?;
        self.catch_up()
    }

    /// Waits for the next request that wants a message.
    ///
    /// # Errors
    /// There is none.
    pub fn next_asked(&mut self) -> Result<Asked> {
        loop {
            let asked = match self.untaken.pop_front() {
                Some(asked) => asked,
                None => parse(&self.line()?)?,
            };
            if asked.what.starts_with("POST /v1/messages") {
                return Ok(asked);
            }
        }
    }

    /// Every request up to now that was not taken yet.
    ///
    /// # Errors
    /// It has ended.
    pub fn so_far(&mut self) -> Result<Vec<Asked>> {
        self.catch_up()?;
        Ok(self.untaken.drain(..).collect())
    }

    fn tell(&mut self, verb: &str, word: &str) -> Result<()> {
        let said = writeln!(self.stdin, "{verb} {word}");
        said.context("the API takes no orders")
    }

    /// Until it has obeyed, and everything it was asked before is known.
    fn catch_up(&mut self) -> Result<()> {
        self.tell("echo", "here")?;
        loop {
            match self.line()?.as_str() {
                "here" => return Ok(()),
                line => self.untaken.push_back(parse(line)?),
            }
        }
    }

    fn line(&self) -> Result<String> {
        let line = self.lines.recv_timeout(PATIENCE);
        line.context("nobody asked the API anything")
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        // It has nobody to answer to any more.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn parse(line: &str) -> Result<Asked> {
    let fields: Vec<&str> = line.split('\t').collect();
    let ["asked", request, status, authorization, key] = fields[..] else {
        bail!("the API says {line:?}");
    };
    let what = request.rsplit_once(' ').map_or(request, |(what, _)| what);
    Ok(Asked {
        what: what.to_owned(),
        status: status.parse().context("no status")?,
        credential: format!("{authorization} {key}").trim().to_owned(),
    })
}
