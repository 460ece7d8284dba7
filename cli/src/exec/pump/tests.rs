//! Somebody at the other end of the pipe who reads from it, too.

use std::sync::mpsc;
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::*;

/// How long something may take that is done at once.
const SOON: Duration = Duration::from_secs(20);

fn pump(source: OwnedFd, sink: OwnedFd) -> Pump {
    Pump {
        source,
        sink,
        ended: Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()),
        afterwards: Afterwards::Drain,
        patience: PATIENCE,
    }
}

/// Takes all that is in a pipe.
fn steal(pipe: &OwnedFd) -> usize {
    let mut buffer = vec![0; FULL];
    let mut all = 0;
    loop {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(some) => all += some,
            Err(error) => {
                assert_eq!(error, Errno::AGAIN);
                return all;
            }
        }
    }
}

/// What is done in another thread, and done soon.
fn soon<R: Send + 'static>(act: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, waiting) = mpsc::channel();
    thread::spawn(move || done.send(act()));
    waiting.recv_timeout(SOON).expect("it does not end")
}

#[test]
fn what_is_taken_out_of_the_pipe_is_not_waited_for() {
    let (source, far) = pipe_to_read().unwrap();
    let thief = source.try_clone().unwrap();
    let (reader, sink) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let small = fcntl_setpipe_size(&sink, 4096).unwrap();
    assert_eq!(rustix::io::write(&far, &[b'x'; FULL]).unwrap(), FULL);
    let pump = pump(source, sink);
    rustix::io::write(&pump.ended, &1_u64.to_ne_bytes()).unwrap();
    let end = soon(move || {
        let pump = thread::spawn(|| pump.run());
        // With something in the sink it is known how much is owed, and there is room for no more.
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        poll_again(&mut fds, None).unwrap();
        assert_eq!(steal(&thief), FULL - small);
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(reader), &mut all).unwrap();
        assert_eq!(all.len(), small);
        pump.join().unwrap()
    });
    assert!(matches!(end, End::Done), "{end:?}");
    // The command left somebody who holds the pipe.
    drop(far);
}

#[test]
fn what_is_gone_before_it_is_moved_is_not_waited_for() {
    for buffer in [None, Some(vec![0; BUFFER])] {
        let (source, far) = pipe_to_read().unwrap();
        let (reader, sink) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let pump = pump(source, sink);
        let moved = soon(move || {
            let mut buffer = buffer;
            pump.transfer(&mut buffer)
        });
        assert!(matches!(moved, Ok(Some(0))), "{moved:?}");
        drop((far, reader));
    }
}

#[test]
fn what_is_written_after_the_end_is_passed_on() {
    let (source, far) = pipe_to_read().unwrap();
    let (reader, sink) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let pump = Pump {
        patience: Patience {
            quiet: SOON,
            late: SOON,
        },
        ..pump(source, sink)
    };
    rustix::io::write(&pump.ended, &1_u64.to_ne_bytes()).unwrap();
    let mut reader = std::fs::File::from(reader);
    let end = soon(move || {
        let pump = thread::spawn(|| pump.run());
        for text in [&b"late"[..], b"more"] {
            assert_eq!(rustix::io::write(&far, text).unwrap(), text.len());
            let mut passed_on = [0; 4];
            std::io::Read::read_exact(&mut reader, &mut passed_on).unwrap();
            assert_eq!(passed_on, text);
        }
        drop(far);
        pump.join().unwrap()
    });
    assert!(matches!(end, End::Done), "{end:?}");
}
