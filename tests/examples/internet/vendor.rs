//! A vendor's API that whoever started it controls.
//!
//! It takes lines on its standard input: `accept CREDENTIAL`, `refuse CREDENTIAL`, and `echo WORD`. It
//! prints `at ADDRESS` once it listens; for every request, before it is answered, a line with
//! `asked`, the request, the status it gets, the `Authorization` and the `x-api-key` header, separated by
//! tabs; and what it was told to echo. It ends with its input.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{Done, http};

/// The credentials that are answered with 200; all others get 401.
type Accepted = Arc<Mutex<BTreeSet<String>>>;

const REFUSAL: &str = r#"{"type":"error","error":{"type":"authentication_error","message":"Invalid authentication credentials"}}"#;

/// Listens at an address until the input ends.
pub(super) fn serve(address: &str) -> Done {
    let listener = TcpListener::bind(address)?;
    say(&format!("at {}", listener.local_addr()?))?;
    let accepted = Accepted::default();
    let shared = Arc::clone(&accepted);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let accepted = Arc::clone(&shared);
            thread::spawn(move || {
                if let Err(error) = request(stream, &accepted) {
                    eprintln!("a request was not answered: {error}");
                }
            });
        }
    });
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
        match line.split_once(' ') {
            Some(("accept", credential)) => {
                accepted.insert(credential.to_owned());
            }
            Some(("refuse", credential)) => {
                accepted.remove(credential);
            }
            Some(("echo", word)) => say(word)?,
            _ => return Err("lines are accept, refuse or echo and a word".into()),
        }
    }
    Ok(())
}

fn request(stream: TcpStream, accepted: &Accepted) -> Done {
    let request = http::Request::read(&stream)?;
    let (authorization, key) = (request.header("authorization"), request.header("x-api-key"));
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    let known = {
        let accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.contains(token) || accepted.contains(key)
    };
    let (status, (kind, content)) = match (known, request.wants_a_message()) {
        (false, _) => ("401 Unauthorized", ("application/json", REFUSAL.to_owned())),
        (true, true) => ("200 OK", request.message()),
        (true, false) => ("404 Not Found", ("application/json", "{}".to_owned())),
    };
    let number = status.split(' ').next().unwrap_or_default();
    say(&format!(
        "asked\t{}\t{number}\t{authorization}\t{key}",
        request.line
    ))?;
    http::answer(stream, status, kind, &content)
}

/// Prints a line at once and whole.
fn say(line: &str) -> Done {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}
