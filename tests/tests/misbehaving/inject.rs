//! Failing system calls of one of our processes, one at a time: the calls of an operation are recorded
//! first, then each of those that write below our directories fails once.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::Undo;

const CALLS: &str = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,\
    unlink,unlinkat,rmdir,mkdir,mkdirat,ftruncate,fallocate,symlink,symlinkat";
/// How often an operation is tried until the call that is to fail is reached.
const TRIES: u32 = 5;
const DIRECTORY: &str = "/run/forage-inject";
const TRACE: &str = "/run/forage-inject/trace";
/// What every path an operation writes to begins with.
const OURS: [&str; 2] = ["/var/lib/firefly-forage", "/run/firefly-forage"];

/// A call that writes.
#[derive(Debug, Clone)]
pub(super) struct Point {
    call: String,
    nth: u32,
    line: String,
}

/// A call and the error it is to fail with.
pub(super) type Fault<'a> = (&'a Point, &'static str);

/// The points of a recorded operation. Once the wrappers are written the container boots, and its
/// console is logged in as many pieces as chance has it: writes after that cannot be told by number.
fn points(trace: &str) -> Vec<Point> {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut points = Vec::new();
    let lines: Vec<&str> = trace.lines().collect();
    let boots = lines.iter().rposition(|line| line.contains("/wrappers/"));
    for (number, line) in lines.into_iter().enumerate() {
        let Some((call, arguments)) = line.split_once('(') else {
            continue;
        };
        let nth = seen.entry(call).or_default();
        *nth += 1;
        let ours = OURS.iter().any(|place| arguments.contains(place));
        let counted = boots.is_none_or(|boots| number <= boots);
        if !counted && ["openat", "write"].contains(&call) {
            continue;
        }
        if ours && (call != "openat" || arguments.contains("O_CREAT")) {
            points.push(Point {
                call: call.to_owned(),
                nth: *nth,
                line: line.to_owned(),
            });
        }
    }
    points
}

/// Options of strace. It writes no content of what it sees: some of that is secret.
fn options(fault: Option<Fault<'_>>) -> String {
    let mut text = format!("-qq -y -s 0 -o {TRACE} -e trace={CALLS}");
    if let Some((Point { call, nth, .. }, error)) = fault {
        text.push_str(&format!(" -e inject={call}:error={error}:when={nth}"));
    }
    text
}

/// Runs an operation once to see what it does, then twice for each call that writes, with that call
/// failing: as if the disk were full, and as if it were broken. `traced` runs it and gives
/// what strace wrote. The number of points is given.
pub(super) fn each_point(
    traced: &dyn Fn(Option<Fault<'_>>) -> Result<String>,
    check: &dyn Fn(Fault<'_>) -> Result<()>,
) -> Result<usize> {
    let points = points(&traced(None).context("while recording")?);
    let errors = ["ENOSPC", "EIO"];
    let faults = points
        .iter()
        .enumerate()
        .flat_map(|point| errors.map(|error| (point, error)));
    for ((number, point), error) in faults {
        let about = || format!("{error} at number {number}: {}", point.line);
        reach(&|| {
            let trace = traced(Some((point, error)))?;
            check((point, error))?;
            Ok(trace)
        })
        .with_context(about)?;
    }
    Ok(points.len())
}

/// Tries until a call has failed. How often a process looks at something, and so which call is the N-th, is
/// not the same each time.
fn reach(attempt: &dyn Fn() -> Result<String>) -> Result<()> {
    let mut trace = String::new();
    for _ in 0..TRIES {
        trace = attempt()?;
        if trace.contains("(INJECTED)") {
            return Ok(());
        }
    }
    bail!("not reached {TRIES} times, at last: {trace}")
}

/// Traces a running thread while something is done.
pub(super) fn attached(
    testbed: &Testbed,
    thread: &str,
    fault: Option<Fault<'_>>,
    operation: impl FnOnce() -> Result<()>,
) -> Result<String> {
    let line = format!(
        "mkdir -p {DIRECTORY}; rm -f {TRACE}; exec strace {} -p {thread}",
        options(fault)
    );
    let mut strace = testbed
        .command("root", &["sh", "-c", &line])
        .stdin(std::process::Stdio::null())
        .spawn()?;
    let tracer = format!("sed -n 's/^TracerPid:[^0-9]*//p' /proc/{thread}/status");
    let tracer = wait_for("strace", Duration::from_secs(10), || {
        let found = testbed.run_ok("root", &["sh", "-c", &tracer])?;
        Ok(found.trim().parse().ok().filter(|pid: &u32| *pid != 0))
    })?;
    let done = operation();
    testbed.kill(tracer, "INT")?;
    strace.wait()?;
    done?;
    testbed.run_ok("root", &["cat", TRACE])
}

/// The thread of the daemon that touches the disk.
pub(super) fn disk_thread(testbed: &Testbed, daemon: u32) -> Result<String> {
    let line = format!("grep -lx disk /proc/{daemon}/task/*/comm | cut -d/ -f5");
    let thread = testbed.run_ok("root", &["sh", "-c", &line])?;
    ensure!(
        !thread.trim().is_empty(),
        "the daemon has no thread for the disk"
    );
    Ok(thread.trim().to_owned())
}

/// Has the shims run under strace from here on: those of runs, or one of their verbs.
pub(super) struct TracedShims {
    testbed: &'static Testbed,
    verb: &'static str,
    _undo: Undo,
}

impl TracedShims {
    /// `verb` is `run`, `cleanup` or `remove`.
    pub(super) fn begin(testbed: &'static Testbed, verb: &'static str) -> Result<Self> {
        let units = "/run/systemd/system";
        let undo = Undo::new(
            testbed,
            format!(
                "rm -rf {DIRECTORY} {units}/forage-sandbox@.service.d {units}/forage-remove@.service.d; \
                 systemctl daemon-reload"
            ),
        );
        let run = format!("{DIRECTORY}/shim");
        let sandbox = format!(
            "[Service]\nExecStart=\nExecStart={run} %i\nExecStopPost=\nExecStopPost={run} cleanup %i\n"
        );
        // Tracing takes a right and a directory that removals go without.
        let removal = format!(
            "[Service]\nExecStart=\nExecStart={run} remove %i\n\
             CapabilityBoundingSet=CAP_SYS_PTRACE\nReadWritePaths={DIRECTORY}\n"
        );
        for (unit, text) in [("sandbox", sandbox), ("remove", removal)] {
            let path = format!("{units}/forage-{unit}@.service.d/inject.conf");
            testbed.write_file(&path, "root", "0644", text.as_bytes())?;
        }
        let this = Self {
            testbed,
            verb,
            _undo: undo,
        };
        this.set(None)?;
        testbed.run_ok("root", &["systemctl", "daemon-reload"])?;
        Ok(this)
    }

    /// What the next shims are to fail at.
    pub(super) fn set(&self, fault: Option<Fault<'_>>) -> Result<()> {
        let (options, verb) = (options(fault), self.verb);
        // The tracer is no parent of the shim: systemd's main process stays the shim itself.
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in cleanup|remove) verb=$1 ;; *) verb=run ;; esac\n\
             [ $verb = {verb} ] && exec strace -D {options} /usr/libexec/forage-shim \"$@\"\n\
             exec /usr/libexec/forage-shim \"$@\"\n"
        );
        self.testbed.run_ok("root", &["rm", "-f", TRACE])?;
        let path = format!("{DIRECTORY}/shim");
        self.testbed
            .write_file(&path, "root", "0755", script.as_bytes())
    }

    /// What strace wrote of the shim that has ended.
    pub(super) fn trace(&self) -> Result<String> {
        wait_for("the end of strace", Duration::from_secs(10), || {
            let busy = self.testbed.sh("root", "pgrep -x strace")?;
            Ok((!busy.ok()).then_some(()))
        })?;
        self.testbed.run_ok("root", &["cat", TRACE])
    }
}
