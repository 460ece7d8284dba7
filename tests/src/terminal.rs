//! A person at a terminal: a real pseudoterminal on the outside, keys typed into it, and what it
//! shows.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::testbed::Testbed;

/// How long a terminal has to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// The prompt of a shell that was [greeted](Screen::greet).
const PROMPT: &str = "ready% ";

/// A terminal and the program that was started on it.
#[derive(Debug)]
pub struct Screen {
    master: File,
    slave: OwnedFd,
    child: Child,
    /// What was shown and not waited for yet.
    shown: Vec<u8>,
    /// Everything that was shown.
    pub all: String,
    /// Its modes before anything ran on it.
    pub before: String,
}

impl Screen {
    /// Starts a program on a new terminal of this many rows and columns.
    ///
    /// # Errors
    /// The system says no.
    pub fn start(mut command: Command, (rows, columns): (u16, u16)) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        tcsetwinsize(&master, size(rows, columns))?;
        let before = described(&tcgetattr(&slave)?);
        let child = command
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave.try_clone()?)
            .spawn()
            .context("nothing was started on the terminal")?;
        Ok(Self {
            master: master.into(),
            slave,
            child,
            shown: Vec::new(),
            all: String::new(),
            before,
        })
    }

    /// Runs a program of the host on one, as the leader of a session of its own.
    ///
    /// # Errors
    /// The system says no.
    pub fn run(testbed: &Testbed, user: &str, argv: &[&str]) -> Result<Self> {
        let argv: Vec<&str> = ["setsid", "--ctty"].iter().chain(argv).copied().collect();
        let mut command = testbed.command(user, &argv);
        command.env("TERM", "xterm-256color");
        Self::start(command, (24, 80))
    }

    /// Types.
    ///
    /// # Errors
    /// The terminal takes nothing.
    pub fn type_in(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Waits until it shows this, and gives everything up to its end that was not waited for yet.
    ///
    /// # Errors
    /// It does not, or the program ends first.
    pub fn until(&mut self, text: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = find(&self.shown, text.as_bytes());
            if let Some(at) = found {
                let seen: Vec<u8> = self.shown.drain(..at + text.len()).collect();
                return Ok(String::from_utf8_lossy(&seen).into_owned());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.look(left.min(Duration::from_millis(100)))? {
                let ended = self.child.try_wait()?;
                if left.is_zero() || (ended.is_some() && !self.look(Duration::ZERO)?) {
                    let seen = String::from_utf8_lossy(&self.shown);
                    bail!("the terminal does not show {text:?} (ended: {ended:?}), but {seen:?}");
                }
            }
        }
    }

    /// Gives the shell that runs on it a prompt that is easily told apart.
    ///
    /// # Errors
    /// No shell does.
    pub fn greet(&mut self) -> Result<()> {
        self.type_in("bind 'set enable-bracketed-paste off'; PS1=ready%\\ \r")?;
        self.until(PROMPT)?;
        Ok(())
    }

    /// Has the shell run a line, and gives what it printed.
    ///
    /// # Errors
    /// It does not come back to its prompt.
    pub fn sh(&mut self, line: &str) -> Result<String> {
        self.type_in(&format!("{line}\r"))?;
        let shown = self.until(PROMPT)?;
        let (_, said) = shown.split_once("\r\n").unwrap_or_default();
        let said = said.strip_suffix(PROMPT).unwrap_or_default();
        Ok(said.replace("\r\n", "\n").trim_end().to_owned())
    }

    /// Takes what it shows now; `false`: nothing came in this time.
    fn look(&mut self, patience: Duration) -> Result<bool> {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec::try_from(patience)?))? == 0 {
            return Ok(false);
        }
        let mut chunk = vec![0; 64 * 1024];
        let length = self.master.read(&mut chunk).unwrap_or(0);
        self.shown.extend_from_slice(&chunk[..length]);
        self.all
            .push_str(&String::from_utf8_lossy(&chunk[..length]));
        Ok(length > 0)
    }

    /// Gives it another size, as a person does who pulls at its window.
    ///
    /// # Errors
    /// The system says no.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        Ok(tcsetwinsize(&self.master, size(rows, columns))?)
    }

    /// Its modes.
    ///
    /// # Errors
    /// The system says no.
    pub fn modes(&self) -> Result<String> {
        Ok(described(&tcgetattr(&self.slave)?))
    }

    /// What was typed and nobody has read, in bytes.
    ///
    /// # Errors
    /// The system says no.
    pub fn unread(&self) -> Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.slave)?)
    }

    /// Waits for the program's end, and shows the rest.
    ///
    /// # Errors
    /// It does not end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.look(Duration::from_millis(20))?;
            if let Some(status) = self.child.try_wait()? {
                while self.look(Duration::ZERO)? {}
                return Ok(status);
            }
            if Instant::now() >= end {
                let seen = String::from_utf8_lossy(&self.shown);
                bail!("the program on the terminal does not end; it shows {seen:?}");
            }
        }
    }

    /// Everything that was shown and not waited for.
    pub fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.shown)).into_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Its program ends with it, as when a person closes the window.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The modes as text, to be compared and shown.
fn described(modes: &Termios) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        modes.input_modes,
        modes.output_modes,
        modes.control_modes,
        modes.local_modes,
        modes.special_codes
    )
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn find(all: &[u8], part: &[u8]) -> Option<usize> {
    all.windows(part.len()).position(|window| window == part)
}
