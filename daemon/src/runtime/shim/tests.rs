//! The conversation over a real socket, with a shim in a thread.

use std::time::Duration;

use forage_api::Secret;
use forage_api::shim::control::{RunState, TokenSource, Verb};
use forage_api::shim::frame;
use forage_api::{ErrorKind, Failure};

use super::*;

const ID: SandboxId = SandboxId::new(7);

/// A shim that says hello, answers every request with `failure` after an event, and gives what
/// it was told.
fn fake_shim(
    socket: std::os::unix::net::UnixStream,
    failure: Option<Failure>,
) -> std::thread::JoinHandle<Vec<(Vec<u8>, usize)>> {
    std::thread::spawn(move || {
        let hello = FromShim::Hello(Hello {
            facts: None,
            version: VERSION,
            id: ID,
            state: RunState::Running,
            credentials: Vec::new(),
        });
        frame::send(socket.as_fd(), &hello, b"", &[]).unwrap();
        let mut decoder = Decoder::default();
        let mut told = Vec::new();
        while let Ok(Some(frame)) = frame::receive(socket.as_fd(), &mut decoder) {
            let request: Request = frame.message().unwrap();
            told.push((frame.raw.expose().to_vec(), frame.fds.len()));
            let event = FromShim::Event(Event::Step(format!("{}", request.number)));
            frame::send(socket.as_fd(), &event, b"", &[]).unwrap();
            let reply = FromShim::Reply {
                number: request.number,
                failure: failure.clone(),
            };
            frame::send(socket.as_fd(), &reply, b"", &[]).unwrap();
        }
        told
    })
}

fn pair() -> (UnixStream, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (UnixStream::from_std(ours).unwrap(), theirs)
}

#[tokio::test]
async fn requests_replies_events_and_descriptors() {
    let (ours, theirs) = pair();
    let shim = fake_shim(theirs, None);
    let mut link = open(ours, ID).await.unwrap();
    assert_eq!(link.hello.state, RunState::Running);
    let token = Verb::Credentials {
        source: TokenSource::TokenStore,
        expires_at: None,
        revoked: false,
        refresh: false,
    };
    let secret = vec![7; 100_000];
    let first = link
        .shim
        .post(token, Secret::new(secret.clone()), None)
        .unwrap();
    let (fd, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let second = link
        .shim
        .post(Verb::Exec, Secret::default(), Some(fd.into()))
        .unwrap();
    first.within(Duration::from_secs(5)).await.unwrap();
    second.within(Duration::from_secs(5)).await.unwrap();
    for expected in ["1", "2"] {
        let Some(Event::Step(step)) = link.events.recv().await else {
            panic!("no step");
        };
        assert_eq!(step, expected);
    }
    drop(link);
    let told = tokio::task::spawn_blocking(|| shim.join().unwrap())
        .await
        .unwrap();
    assert!(told == [(secret, 0), (Vec::new(), 1)]);
}

#[tokio::test]
async fn a_refusal_is_passed_on_and_silence_is_a_failure() {
    let (ours, theirs) = pair();
    let failure = Failure::new(ErrorKind::SecretUnusable, "no room");
    let shim = fake_shim(theirs, Some(failure.clone()));
    let mut link = open(ours, ID).await.unwrap();
    let stop = link.shim.post(Verb::Stop, Secret::default(), None).unwrap();
    assert_eq!(stop.within(Duration::from_secs(5)).await, Err(failure));
    drop(link.shim);
    link.events.close();
    tokio::task::spawn_blocking(|| shim.join().unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn strange_first_words() {
    for bytes in [
        &b"\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x02\0\0\0\0\0\0\0{}",
        b"",
    ] {
        let (ours, theirs) = pair();
        std::io::Write::write_all(&mut &theirs, bytes).unwrap();
        drop(theirs);
        assert!(open(ours, ID).await.is_err());
    }
    let (ours, theirs) = pair();
    let shim = fake_shim(theirs, None);
    assert!(open(ours, SandboxId::new(8)).await.is_err());
    tokio::task::spawn_blocking(|| shim.join().unwrap())
        .await
        .unwrap();
}
