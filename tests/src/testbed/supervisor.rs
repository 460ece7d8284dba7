//! The process a run hangs on. It makes the run's root, boots it, and waits; when it ends, by
//! whatever signal, so does everything else.
//!
//! nspawn runs as process 1 of a pid namespace: its death ends all that was booted, however
//! deeply nested, which nspawn alone does not promise. `setpriv` and `unshare` tie it to us.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::wait;
use nix::unistd::setsid;

use super::cgroup::Cgroups;
use super::process::last_lines;
use super::run_dir::{self, Spec, State};
use super::sysctl::Limits;
use super::tree::write;
use super::{install, mounts, users};

/// How long a host may take to boot before it is handed over unfinished, to be looked at.
const BOOT: Duration = Duration::from_secs(90);

/// What systemd-nspawn ends with when the host wants to boot again.
const REBOOT: i32 = 133;

/// Boots what the run's `spec.json` says, prints one line when it is up, and keeps it up until
/// standard input ends (unless a byte came first: then it stays in the background), a signal
/// arrives, or the host powers off. A host that reboots is booted again from the same root.
pub fn supervise(run: &Path) -> Result<()> {
    // Away from the terminal, whose Ctrl-C is for the one who started us.
    setsid().context("cannot leave the terminal's session")?;
    let spec: Spec = run_dir::read(&run.join("spec.json"))?;
    let _lock = run_dir::lock(run)?;
    let cgroups = Cgroups::of(&spec.name)?;
    let _limits = Limits::remember()?;
    let result = Events::new(&spec.name).and_then(|mut events| {
        let booted = boot(run, &spec, &cgroups, &mut events);
        let result = booted.and_then(|host| serve(run, &host, &mut events));
        events.end()?;
        result
    });
    let removed = remove(run, &cgroups);
    result.and(removed)
}

/// What is booted, as often as it reboots.
struct Host<'a> {
    name: &'a str,
    root: PathBuf,
    console: PathBuf,
    cgroups: &'a Cgroups,
}

fn boot<'a>(
    run: &Path,
    spec: &'a Spec,
    cgroups: &'a Cgroups,
    events: &mut Events,
) -> Result<(Host<'a>, State)> {
    cgroups.enter()?;
    mounts::leave_namespace()?;
    let root = mounts::mount_root(run, &spec.host, &spec.sandbox, &spec.nix)?;
    install::install(&root, &spec.binaries, &spec.nix.system()?)?;
    users::create(&root)?;
    identify(&root, &spec.name)?;
    let host = Host {
        name: &spec.name,
        root,
        console: run.join("console.log"),
        cgroups,
    };
    let state = power_on(&host, 1, events)?;
    Ok((host, state))
}

fn power_on(host: &Host<'_>, boots: u32, events: &mut Events) -> Result<State> {
    let console = &host.console;
    events.ready = false;
    events.child = Some(nspawn(&host.root, host.name, console)?);
    let end = Instant::now() + BOOT;
    let mut warning = None;
    while !events.ready {
        match events.next(Some(end))? {
            Event::Notified => {}
            Event::Timeout => {
                warning = Some(format!("the boot did not finish within {BOOT:?}"));
                break;
            }
            Event::Stop => bail!("asked to end while booting"),
            Event::Ended => {
                let said = fs::read(console).unwrap_or_default();
                bail!(
                    "systemd-nspawn ended while booting:\n{}",
                    last_lines(&said, 20)
                );
            }
        }
    }
    Ok(State {
        supervisor: std::process::id().cast_signed(),
        leader: host.cgroups.leader()?,
        boots,
        warning,
    })
}

/// A machine id and a name of its own; without the first, systemd takes this for a first boot.
fn identify(root: &Path, name: &str) -> Result<()> {
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").context("cannot make an id")?;
    write(root, "etc/machine-id", id.replace('-', "").as_bytes())?;
    write(root, "etc/hostname", format!("{name}\n").as_bytes())?;
    write(
        root,
        "etc/hosts",
        format!("127.0.0.1 localhost {name}\n::1 localhost\n").as_bytes(),
    )
}

fn nspawn(root: &Path, name: &str, console: &Path) -> Result<Child> {
    let log = File::create(console).context("cannot make the console log")?;
    let errors = log.try_clone().context("cannot share the console log")?;
    let mut command = Command::new("setpriv");
    command
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--pid",
            "--fork",
            "--kill-child=KILL",
        ])
        .args([
            "--mount-proc",
            "--propagation",
            "private",
            "systemd-nspawn",
            "--quiet",
            "--boot",
        ])
        .args([
            "--private-network",
            "--register=no",
            "--keep-unit",
            "--capability=all",
        ])
        .args([
            "--system-call-filter=@mount @keyring bpf perf_event_open",
            "--console=pipe",
        ])
        .args([
            "--notify-ready=yes",
            "--settings=no",
            "--resolv-conf=off",
            "--timezone=off",
        ])
        .args([
            "--link-journal=no",
            &format!("--machine=testbed-{name}"),
            "--directory",
        ])
        .arg(root)
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1")
        // A real host is under no filter, and only such a process may read the filters of others.
        .env("SYSTEMD_SECCOMP", "0")
        .env("NOTIFY_SOCKET", format!("@{}", socket_name(name)))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    command.spawn().context("cannot start systemd-nspawn")
}

fn serve(run: &Path, (host, state): &(Host<'_>, State), events: &mut Events) -> Result<()> {
    let place = run.join("state.json");
    run_dir::write(&place, state)?;
    println!("ready");
    std::io::stdout()
        .flush()
        .context("cannot say that the host is up")?;
    let mut boots = state.boots;
    loop {
        match events.next(None)? {
            Event::Ended if events.wants_reboot()? => {
                boots += 1;
                run_dir::write(&place, &power_on(host, boots, events)?)?;
            }
            Event::Stop | Event::Ended => return Ok(()),
            Event::Notified | Event::Timeout => {}
        }
    }
}

fn remove(run: &Path, cgroups: &Cgroups) -> Result<()> {
    if run.join("memory/upper").exists() {
        mounts::unmount(run)?;
    }
    cgroups.remove()?;
    fs::remove_dir_all(run).with_context(|| format!("cannot remove {}", run.display()))
}

fn socket_name(name: &str) -> String {
    format!("forage-testbed-{name}-{}", std::process::id())
}

enum Event {
    Notified,
    Stop,
    Ended,
    Timeout,
}

/// Everything the supervisor waits for.
struct Events {
    notify: UnixDatagram,
    signals: SignalFd,
    child: Option<Child>,
    /// Whether the end of standard input ends the run.
    tied: bool,
    ready: bool,
}

impl Events {
    fn new(name: &str) -> Result<Self> {
        set_child_subreaper(true).context("cannot become the reaper of the run's processes")?;
        let wanted = [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGCHLD,
        ];
        let wanted: SigSet = wanted.into_iter().collect();
        wanted.thread_block().context("cannot block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&wanted, flags).context("cannot wait for signals")?;
        let address = SocketAddr::from_abstract_name(socket_name(name))?;
        let notify = UnixDatagram::bind_addr(&address).context("cannot make a notify socket")?;
        Ok(Self {
            notify,
            signals,
            child: None,
            tied: true,
            ready: false,
        })
    }

    fn next(&mut self, end: Option<Instant>) -> Result<Event> {
        let timeout = match end {
            Some(end) => {
                let left = end.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let input = std::io::stdin();
        let mut waiting = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.notify.as_fd(), PollFlags::POLLIN),
        ];
        if self.tied {
            waiting.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut waiting, timeout) {
            Ok(0) => return Ok(Event::Timeout),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        let happened: Vec<bool> = waiting.iter().map(|fd| fd.any() == Some(true)).collect();
        if happened.first() == Some(&true) && self.signalled()? {
            return Ok(if self.has_ended()? {
                Event::Ended
            } else {
                Event::Stop
            });
        }
        if happened.get(1) == Some(&true) {
            let mut message = [0; 4096];
            let length = self
                .notify
                .recv(&mut message)
                .context("cannot read a notification")?;
            self.ready |= message[..length]
                .split(|byte| *byte == b'\n')
                .any(|l| l == b"READY=1");
        }
        if happened.get(2) == Some(&true) {
            let mut byte = [0];
            let read = nix::unistd::read(input.as_fd(), &mut byte).context("cannot read stdin")?;
            if read == 0 {
                return Ok(Event::Stop);
            }
            self.tied = false;
        }
        Ok(Event::Notified)
    }

    /// Whether the signals that arrived are a reason to end.
    fn signalled(&mut self) -> Result<bool> {
        let mut reason = false;
        while let Some(signal) = self.signals.read_signal().context("cannot read a signal")? {
            let child = signal.ssi_signo == Signal::SIGCHLD as u32;
            reason |= !child || self.has_ended()?;
        }
        Ok(reason)
    }

    fn has_ended(&mut self) -> Result<bool> {
        let Some(child) = &mut self.child else {
            return Ok(false);
        };
        Ok(child
            .try_wait()
            .context("cannot look after systemd-nspawn")?
            .is_some())
    }

    /// Whether what was booted ended to be booted again.
    fn wants_reboot(&mut self) -> Result<bool> {
        let Some(child) = &mut self.child else {
            return Ok(false);
        };
        let status = child
            .try_wait()
            .context("cannot look after systemd-nspawn")?;
        Ok(status.and_then(|status| status.code()) == Some(REBOOT))
    }

    /// Ends what was booted and waits until no process of it is left.
    fn end(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            child.kill().context("cannot end systemd-nspawn")?;
        }
        loop {
            match wait() {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error).context("cannot wait for the run's processes"),
            }
        }
    }
}

/// The path of the supervisor's own messages.
pub(super) fn log_path(run: &Path) -> PathBuf {
    run.join("supervisor.log")
}
