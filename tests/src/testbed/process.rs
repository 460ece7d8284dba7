//! Running this machine's own tools, with errors that say what failed.

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a command may take before it is ended.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Runs a tool of this machine and returns its standard output; anything but success is an error
/// with the tool's last words.
pub fn tool(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        let words = [&output.stdout[..], &output.stderr[..]].concat();
        bail!(
            "{} failed ({}):\n{}",
            shown(command),
            output.status,
            last_lines(&words, 20)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it.
pub(super) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

/// The end of what a program printed.
pub(super) fn last_lines(output: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Feeds `input` to the command and collects what it prints; ends it after [`DEADLINE`].
pub(super) fn collect(command: &mut Command, input: &[u8]) -> Result<Output> {
    let stdin = if input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    let streams = exchange(&mut child, input);
    let (stdout, stderr) = match streams {
        Ok(streams) => streams,
        Err(error) => {
            child
                .kill()
                .context("cannot end a command that took too long")?;
            child
                .wait()
                .context("cannot wait for a command that took too long")?;
            return Err(error.context(format!("gave up on {}", shown(command))));
        }
    };
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {}", shown(command)))?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

fn exchange(child: &mut Child, input: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A command that does not read its input closes the pipe: its own answer tells more.
        thread::spawn(move || stdin.write_all(&input).is_ok());
    }
    let end = Instant::now() + DEADLINE;
    let mut streams = [Vec::new(), Vec::new()];
    for (bytes, channel) in streams.iter_mut().zip([stdout, stderr]) {
        let left = end.saturating_duration_since(Instant::now());
        *bytes = channel
            .recv_timeout(left)
            .with_context(|| format!("no end of its output after {DEADLINE:?}"))?;
    }
    let [stdout, stderr] = streams;
    Ok((stdout, stderr))
}

fn drain(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A stream that breaks has ended; what arrived until then is the output.
            stream.read_to_end(&mut bytes).unwrap_or_default();
        }
        sender.send(bytes).is_ok()
    });
    receiver
}
