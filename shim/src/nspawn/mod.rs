//! The container: `systemd-nspawn` as a child of the shim, in the shim's mount namespace.

mod arguments;
pub mod console;
pub mod filter;
pub mod leader;
pub mod notify;

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use forage_api::Failure;
use rustix::process::Signal;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::admission::Admitted;
use crate::fail::start;
use crate::log::Lines;
use crate::programs;
use crate::root::Places;
use crate::sys::process::{Child, Fork, die_with_parent, exit, fork};
use crate::sys::{fds, signals};
use console::Console;
use notify::Notify;

pub use arguments::arguments;

/// A running `systemd-nspawn`.
#[derive(Debug)]
pub struct Nspawn {
    /// The process.
    pub child: Child,
    /// What it reports.
    pub notify: Notify,
    /// What the container writes to its console.
    pub console: Console,
    /// What it says itself.
    pub messages: Console,
    /// The lines these make.
    pub said: Lines,
    /// How many there were.
    pub lines: usize,
}

impl Nspawn {
    /// Starts it.
    ///
    /// # Errors
    /// There is no such program, or the system has no room.
    pub fn start(sandbox: &Admitted, places: &Places) -> Result<Self, Failure> {
        let failed = |error: io::Error| start("start systemd-nspawn", error);
        let notify = Notify::listen(&places.notify()).map_err(failed)?;
        let (console, output) = Console::new().map_err(failed)?;
        let (messages, error) = Console::new().map_err(failed)?;
        let program = programs::find("systemd-nspawn", "systemd-container")?;
        let arguments = programs::strings(arguments(sandbox, places)).map_err(failed)?;
        let environment = programs::strings(environment(&places.notify())).map_err(failed)?;
        match fork().map_err(failed)? {
            Fork::Child => exit(become_nspawn(
                &program,
                &arguments,
                &environment,
                [&output, &error],
            )),
            Fork::Parent(child) => Ok(Self {
                child,
                notify,
                console,
                messages,
                said: Lines::default(),
                lines: 0,
            }),
        }
    }

    /// Tells it to end at once, and everything in the container with it.
    pub fn kill(&self) {
        if let Err(error) = self.child.signal(Signal::KILL) {
            tracing::error!("cannot kill systemd-nspawn: {error}");
        }
    }
}

/// Runs in the child: nothing of the shim's reaches the program.
fn become_nspawn(
    program: &CString,
    arguments: &[CString],
    environment: &[CString],
    output: [&OwnedFd; 2],
) -> i32 {
    let prepared = fds::null_stdin()
        .and_then(|()| Ok(dup2_stdout(output[0])?))
        .and_then(|()| Ok(dup2_stderr(output[1])?))
        .and_then(|()| fds::close_all_but(&[]))
        .and_then(|()| signals::restore_defaults())
        .and_then(|()| die_with_parent())
        .and_then(|()| filter::install());
    if prepared.is_ok() {
        // It returns only when it failed.
        nix::unistd::execve(program, arguments, environment).ok();
    }
    127
}

fn environment(notify: &Path) -> Vec<String> {
    let socket = format!("NOTIFY_SOCKET={}", notify.display());
    let fixed = programs::ENVIRONMENT.map(str::to_owned);
    fixed.into_iter().chain([socket]).collect()
}
