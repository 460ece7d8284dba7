//! `cargo xtask test`: every check and test there is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use forage_tests::nix::Tools;
use forage_tests::skip::SKIPS_FILE;
use forage_tests::testbed::{self, Profile};

use crate::report::Counts;

/// Programs of tests that need a host each, and what they are called.
const HOSTS: [(&str, &str); 4] = [
    ("e2e", "end-to-end tests"),
    ("authentication", "tests of authentication"),
    ("misbehaving", "tests of a host that misbehaves"),
    ("nix", "tests of the Nix side"),
];

/// For tests that watch, lock or lease files in their own process. One that makes a child beside them
/// would let that have their files open for a moment.
const ONE_BY_ONE: &[&str] = &["--", "--test-threads=1"];

/// Runs them all, in order, also after a failure, and closes with the sums on a line of their own.
pub(crate) fn run() -> Result<ExitCode> {
    let skips = std::env::temp_dir().join(format!("forage-skips-{}", std::process::id()));
    let mut run = Run {
        total: Counts::default(),
        failures: Vec::new(),
        skips: skips.clone(),
    };
    run.check("format", &["fmt", "--all", "--check"])?;
    run.check(
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    run.docs()?;
    run.dependencies()?;
    run.tests("unit tests", &[&["--lib", "--bins"], ONE_BY_ONE].concat())?;
    run.tests(
        "what documents name and packages hold",
        &["--test", "documents", "--test", "package"],
    )?;
    let root = [&["--test", "root"], ONE_BY_ONE].concat();
    run.tests("root tests of the shim", &root)?;
    run.tests(
        "tests on a private bus",
        &["--test", "private_bus", "--test", "bus"],
    )?;
    run.end_to_end()?;
    run.close()
}

struct Run {
    total: Counts,
    failures: Vec<String>,
    skips: std::path::PathBuf,
}

impl Run {
    /// One check, counted as one.
    fn check(&mut self, title: &str, arguments: &[&str]) -> Result<()> {
        heading(title);
        let status = cargo(arguments).status().context("cannot run cargo")?;
        self.count(title, Counts::check(status.success()));
        Ok(())
    }

    /// What is made from the command lines is what is committed.
    fn docs(&mut self) -> Result<()> {
        let title = "generated documents";
        heading(title);
        let code = crate::docs::run(true)?;
        self.count(title, Counts::check(code == ExitCode::SUCCESS));
        Ok(())
    }

    fn dependencies(&mut self) -> Result<()> {
        let title = "dependencies";
        let mut version = cargo(&["deny", "--version"]);
        let there = version.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.context("cannot run cargo")?.success() {
            return self.check(title, &["deny", "--workspace", "check"]);
        }
        heading(title);
        println!("skipped: cargo-deny is not installed");
        self.count(
            title,
            Counts {
                skipped: 1,
                ..Counts::default()
            },
        );
        Ok(())
    }

    /// A run of cargo's test runners, counted as they report.
    fn tests(&mut self, title: &str, targets: &[&str]) -> Result<()> {
        heading(title);
        let counts = run_tests(targets, &self.skips, |line| println!("{line}"))?;
        self.count(title, counts);
        Ok(())
    }

    /// What takes long is done before, where its progress shows. The programs run at a time, each with
    /// a host of its own: most of what they do is waiting.
    fn end_to_end(&mut self) -> Result<()> {
        let [(first, title), others @ ..] = HOSTS;
        if let Err(error) = prepare() {
            heading(title);
            println!("no testbed: {error:#}");
            self.count(title, Counts::check(false));
            return Ok(());
        }
        let targets = HOSTS.iter().flat_map(|(target, _)| ["--test", target]);
        let built = cargo(&["test", "--quiet", "--workspace", "--no-run"])
            .args(targets)
            .status();
        if !built.context("cannot run cargo")?.success() {
            self.count(title, Counts::check(false));
            return Ok(());
        }
        let skips = self.skips.clone();
        let told = thread::scope(|scope| {
            let running: Vec<_> = others
                .iter()
                .map(|(target, title)| {
                    let skips = skips.with_extension(target);
                    (title, scope.spawn(move || aside(target, &skips)))
                })
                .collect();
            self.tests(title, &["--test", first])?;
            running
                .into_iter()
                .map(|(title, thread)| match thread.join() {
                    Ok(told) => Ok((*title, told?)),
                    Err(_) => bail!("{title} were cut off"),
                })
                .collect::<Result<Vec<_>>>()
        })?;
        for (title, (said, counts)) in told {
            heading(title);
            print!("{said}");
            self.count(title, counts);
        }
        testbed::wait_for_end("test-")
    }

    fn count(&mut self, title: &str, counts: Counts) {
        if counts.failed > 0 {
            self.failures.push(title.to_owned());
        }
        self.total.add(counts);
    }

    fn close(self) -> Result<ExitCode> {
        heading("summary");
        for title in &self.failures {
            println!("failed: {title}");
        }
        println!("{}", self.total);
        let ok = self.total.failed == 0;
        Ok(if ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Builds the trees, the binaries and the tools, at once: most of it is waiting for registries.
fn prepare() -> Result<()> {
    thread::scope(|scope| {
        let tools = scope.spawn(Tools::install);
        testbed::prepare(Profile::Dev)?;
        match tools.join() {
            Ok(tools) => tools.map(drop),
            Err(_) => bail!("building the tools broke off"),
        }
    })
}

/// Runs a program of tests while another one's lines are shown; gives what it said.
fn aside(target: &str, skips: &Path) -> Result<(String, Counts)> {
    let mut said = String::new();
    let counts = run_tests(&["--test", target], skips, |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    Ok((said, counts))
}

/// Runs tests; each line they print is shown.
fn run_tests(targets: &[&str], skips: &Path, mut show: impl FnMut(&str)) -> Result<Counts> {
    let mut arguments = vec!["test", "--quiet", "--workspace", "--no-fail-fast"];
    arguments.extend(targets);
    let mut child = cargo(&arguments)
        .env(SKIPS_FILE, skips)
        // A failed test says what failed; where it was made is noise.
        .env("RUST_LIB_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read cargo's output")?;
        counts.add(Counts::from_line(&line).unwrap_or_default());
        show(&line);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    counts.skip(taken(skips)?);
    Ok(counts)
}

fn heading(title: &str) {
    println!("\n== {title}");
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(testbed::repository())
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Shows the skips that tests recorded, and forgets them.
fn taken(path: &Path) -> Result<u64> {
    if !path.exists() {
        return Ok(0);
    }
    let text = fs::read_to_string(path).context("cannot read the recorded skips")?;
    fs::remove_file(path).context("cannot remove the recorded skips")?;
    for line in text.lines() {
        println!("skipped: {line}");
    }
    Ok(text.lines().count().try_into().unwrap_or(u64::MAX))
}
