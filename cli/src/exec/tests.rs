//! A stand-in for the shim at the other end of the socket runs real commands on the pipes it gets.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forage_api::{ErrorKind, Failure};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::unistd::Pid;

use super::*;

/// What the stand-in does with the command.
#[derive(Clone, Copy, PartialEq)]
enum Shim {
    Runs,
    Refuses,
    Dies,
    DiesLater,
}

fn start(frame: &mut frame::Frame) -> Child {
    let words: Vec<OsString> = {
        use std::os::unix::ffi::OsStringExt as _;
        let raw = frame.raw.expose();
        let words = raw[..raw.len() - 1].split(|byte| *byte == 0);
        words
            .map(|word| OsString::from_vec(word.to_vec()))
            .collect()
    };
    let mut fds = std::mem::take(&mut frame.fds).into_iter().map(Stdio::from);
    Command::new(&words[0])
        .args(&words[1..])
        .stdin(fds.next().unwrap())
        .stdout(fds.next().unwrap())
        .stderr(fds.next().unwrap())
        .spawn()
        .unwrap()
}

fn shim(shim: Shim) -> (OwnedFd, JoinHandle<()>) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let thread = thread::spawn(move || {
        let say = |message: &FromShim| {
            let _gone = frame::send(far.as_fd(), message, &[], &[]);
        };
        let mut decoder = Decoder::default();
        let mut frame = frame::receive(far.as_fd(), &mut decoder).unwrap().unwrap();
        if shim == Shim::Refuses {
            say(&FromShim::Failed(Failure::new(
                ErrorKind::CommandNotFound,
                "no such command",
            )));
        }
        if shim == Shim::Refuses || shim == Shim::Dies {
            return;
        }
        let mut child = start(&mut frame);
        drop(frame);
        say(&FromShim::Started);
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let ears = far.try_clone().unwrap();
        let listener = thread::spawn(move || {
            while let Ok(Some(frame)) = frame::receive(ears.as_fd(), &mut decoder) {
                if let ToShim::Signal(signal) = frame.message().unwrap() {
                    nix::sys::signal::kill(pid, Signal::try_from(signal).unwrap()).unwrap();
                }
            }
        });
        let status = child.wait().unwrap();
        let ending = status.code().map_or_else(
            || Ending::Signalled(status.signal().unwrap()),
            |code| Ending::Exited(u8::try_from(code).unwrap()),
        );
        if shim == Shim::Runs {
            say(&FromShim::Ended(ending));
        }
        far.shutdown(std::net::Shutdown::Both).unwrap();
        listener.join().unwrap();
    });
    (near.into(), thread)
}

fn sh(script: &str) -> Request {
    let command = ["/bin/sh", "-c", script].map(OsString::from);
    Request::new(&command, &[], None, |_| None).unwrap()
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn file() -> (File, OwnedFd) {
    let file = tempfile::tempfile().unwrap();
    (file.try_clone().unwrap(), file.into())
}

fn content(mut file: File) -> String {
    use std::io::Seek as _;
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// Runs a script with some input; gives how it went, standard output and standard error.
fn run_script(script: &str, input: OwnedFd) -> (Result<Outcome, Error>, String, String) {
    let (socket, thread) = shim(Shim::Runs);
    let ((out, output), (err, error)) = (file(), file());
    let streams = Streams {
        input,
        output,
        error,
    };
    let outcome = run(&socket, &sh(script), streams);
    drop(socket);
    thread.join().unwrap();
    (outcome, content(out), content(err))
}

#[test]
fn streams_are_apart_and_the_status_is_passed_on() {
    let (outcome, out, err) = run_script("echo out; echo err >&2; exit 7", null());
    let outcome = outcome.unwrap();
    assert_eq!((outcome.code, outcome.trouble.len()), (7, 0));
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    let (outcome, ..) = run_script("kill -9 $$", null());
    assert_eq!(outcome.unwrap().code, 137);
}

#[test]
fn input_from_a_file_and_from_a_pipe_ends() {
    let (mut given, input) = file();
    given.write_all(b"from a file\n").unwrap();
    std::io::Seek::rewind(&mut given).unwrap();
    let (outcome, out, _) = run_script("cat", input);
    assert_eq!((outcome.unwrap().code, out.as_str()), (0, "from a file\n"));

    let (read, write) = std::io::pipe().unwrap();
    let writer = thread::spawn(move || {
        let mut write = write;
        for _ in 0..200 {
            write.write_all(&[b'x'; 50_000]).unwrap();
        }
    });
    let (outcome, out, _) = run_script("cat | wc -c", read.into());
    assert_eq!(outcome.unwrap().code, 0);
    assert_eq!(out.trim(), "10000000");
    writer.join().unwrap();
}

#[test]
fn an_input_that_never_ends_keeps_nothing_waiting() {
    let (read, _write) = std::io::pipe().unwrap();
    let (outcome, out, _) = run_script("echo done", read.into());
    assert_eq!((outcome.unwrap().code, out.as_str()), (0, "done\n"));
}

#[test]
fn large_output_to_an_appending_file_is_copied() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let append = File::options().append(true).open(path.path()).unwrap();
    let (socket, thread) = shim(Shim::Runs);
    let streams = Streams {
        input: null(),
        output: append.into(),
        error: null(),
    };
    let script = "head -c 5000000 /dev/zero";
    assert_eq!(run(&socket, &sh(script), streams).unwrap().code, 0);
    assert_eq!(path.as_file().metadata().unwrap().len(), 5_000_000);
    drop(socket);
    thread.join().unwrap();
}

#[test]
fn a_slow_reader_gets_everything() {
    let (read, write) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&write, true).unwrap();
    let (socket, thread) = shim(Shim::Runs);
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        let mut read = read;
        let mut all = Vec::new();
        read.read_to_end(&mut all).unwrap();
        all.len()
    });
    let streams = Streams {
        input: null(),
        output: write.into(),
        error: null(),
    };
    let outcome = run(&socket, &sh("head -c 900000 /dev/zero"), streams).unwrap();
    assert_eq!(outcome.code, 0);
    assert_eq!(reader.join().unwrap(), 900_000);
    drop(socket);
    thread.join().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let (socket, thread) = shim(Shim::Runs);
    let streams = Streams {
        input: null(),
        output: write.into(),
        error: null(),
    };
    let script = "while echo y; do sleep 0.01; done";
    assert_eq!(run(&socket, &sh(script), streams).unwrap().code, 141);
    drop(socket);
    thread.join().unwrap();
}

#[test]
fn a_full_disk_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (socket, thread) = shim(Shim::Runs);
    let streams = Streams {
        input: null(),
        output: full.into(),
        error: null(),
    };
    let outcome = run(&socket, &sh("echo x"), streams).unwrap();
    assert_eq!(outcome.code, 1);
    assert_eq!(
        outcome.trouble[0].message,
        "standard output could not be written: No space left on device"
    );
    drop(socket);
    thread.join().unwrap();
}

#[test]
fn what_is_left_running_does_not_hold_us() {
    let begun = Instant::now();
    // Whether what is written just after the end is seen is a matter of how soon that is.
    let (outcome, out, _) = run_script("sleep 20 & echo now; (echo late) &", null());
    assert_eq!(outcome.unwrap().code, 0);
    assert!(out.starts_with("now\n"), "{out}");
    let directory = tempfile::tempdir().unwrap();
    let writes = directory.path().join("writes").display().to_string();
    let script = format!(
        "mkfifo {writes}
        timeout 20 sh -c 'echo y; echo y >{writes}; while :; do echo y; done' &
        read y <{writes}"
    );
    let (outcome, out, _) = run_script(&script, null());
    assert_eq!(outcome.unwrap().code, 0);
    assert!(out.starts_with("y\n"));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn signals_are_passed_on() {
    let target = pthread_self();
    let (read, write) = std::io::pipe().unwrap();
    let sender = thread::spawn(move || {
        let mut line = [0; 6];
        let mut read = read;
        read.read_exact(&mut line).unwrap();
        pthread_kill(target, Signal::SIGTERM).unwrap();
    });
    let (socket, thread) = shim(Shim::Runs);
    let streams = Streams {
        input: null(),
        output: write.into(),
        error: null(),
    };
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    assert_eq!(run(&socket, &sh(script), streams).unwrap().code, 3);
    drop(socket);
    thread.join().unwrap();
    sender.join().unwrap();
}

#[test]
fn what_is_not_started_or_lost() {
    let streams = || Streams {
        input: null(),
        output: null(),
        error: null(),
    };
    for (kind, code) in [(Shim::Refuses, 127), (Shim::Dies, 8), (Shim::DiesLater, 8)] {
        let (socket, thread) = shim(kind);
        let error = run(&socket, &sh("true"), streams()).unwrap_err();
        assert_eq!(error.exit, code);
        drop(socket);
        thread.join().unwrap();
    }
}
