//! A client that does what no good client does; the tests run it as several users.

mod hostile;
mod load;
mod raw;
mod shim;
mod signals;

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;

use forage_api::bus::{ManagerProxy, OwnerOptions, TokensProxy};
use forage_api::shim::control::Verb;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["store", kind] => store(kind).await,
        ["offer", kind, expiry] => offer(kind, expiry, None).await,
        ["offer", kind, expiry, owner] => offer(kind, expiry, Some(owner)).await,
        ["own"] => own().await,
        ["logs", name] => logs(name).await,
        ["load", connections, rounds] => match (connections.parse(), rounds.parse()) {
            (Ok(connections), Ok(rounds)) => load::load(connections, rounds).await,
            _ => Err("how many?".into()),
        },
        ["freeze", id] => shim::ask(id, Verb::Freeze),
        ["thaw", id] => shim::ask(id, Verb::Thaw),
        ["signals"] => signals::print().await,
        ["silent"] => hostile::silent(),
        ["descriptors"] => hostile::descriptors(),
        ["large"] => hostile::large(),
        ["flood"] => hostile::flood(),
        ["connections"] => hostile::connections(),
        _ => Err("usage: probe store KIND | offer KIND EXPIRY [OWNER] | own | logs NAME | load CONNECTIONS ROUNDS | freeze ID | thaw ID | signals | silent | descriptors | large | flood | connections".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// Asks for the daemon's name.
async fn own() -> Done {
    let connection = zbus::Connection::system().await?;
    connection.request_name(forage_api::names::BUS_NAME).await?;
    Ok(())
}

/// Calls `Manager.Logs` and prints what is in the files, and whether they can be written.
async fn logs(name: &str) -> Done {
    let connection = zbus::Connection::system().await?;
    let manager = ManagerProxy::new(&connection).await?;
    for fd in manager.logs(name, &OwnerOptions::default()).await? {
        let mut text = vec![0; 64];
        let length = rustix::io::pread(&fd, &mut text, 0)?;
        print!("{}", String::from_utf8_lossy(&text[..length]));
        let written = rustix::io::write(&fd, b"x");
        println!("written: {}", written.is_ok());
    }
    Ok(())
}

/// Calls `Tokens.Store` with a descriptor of this kind.
async fn store(kind: &str) -> Done {
    let fd = descriptor(kind)?;
    let connection = zbus::Connection::system().await?;
    let tokens = TokensProxy::new(&connection).await?;
    tokens
        .store(fd.as_fd().into(), &OwnerOptions::default())
        .await?;
    Ok(())
}

/// Calls `Tokens.OfferHostLogin` with a descriptor of this kind, and an expiry in milliseconds, or in so
/// many minutes (`+7`).
async fn offer(kind: &str, expiry: &str, owner: Option<&str>) -> Done {
    let fd = descriptor(kind)?;
    let expires_at_ms = match expiry.strip_prefix('+') {
        Some(minutes) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
            i64::try_from(now.as_millis())? + minutes.parse::<i64>()? * 60_000
        }
        None => expiry.parse()?,
    };
    let connection = zbus::Connection::system().await?;
    let tokens = TokensProxy::new(&connection).await?;
    let options = OwnerOptions {
        owner: owner.map(ToOwned::to_owned),
    };
    let reply = tokens
        .offer_host_login(fd.as_fd().into(), expires_at_ms, &options)
        .await?;
    println!("until {}", reply.expires_at.unwrap_or_default());
    Ok(())
}

fn descriptor(kind: &str) -> Result<OwnedFd, Box<dyn std::error::Error>> {
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let token = format!("sk-ant-oat01-{}", "k".repeat(95)).into_bytes();
    Ok(match kind {
        "good" => memfd(&token, all)?,
        "login" => memfd(format!("sk-ant-oat01-{}", "l".repeat(95)).as_bytes(), all)?,
        "refresh-token" => memfd(format!("sk-ant-ort01-{}", "r".repeat(95)).as_bytes(), all)?,
        "api-key" => memfd(format!("sk-ant-api03-{}", "a".repeat(95)).as_bytes(), all)?,
        "json" => memfd(
            br#"{"claudeAiOauth":{"accessToken":"sk-ant-oat01-CANARY"}}"#,
            all,
        )?,
        "unsealed" => memfd(&token, SealFlags::empty())?,
        "seal-only" => memfd(&token, SealFlags::SEAL)?,
        "no-write-seal" => memfd(&token, all.difference(SealFlags::WRITE))?,
        "empty" => memfd(b"", all)?,
        "oversized" => memfd(&vec![b'a'; 8193], all)?,
        "sparse" => {
            let fd = memfd(&token, SealFlags::empty())?;
            rustix::fs::ftruncate(&fd, 1 << 40)?;
            rustix::fs::fcntl_add_seals(&fd, all)?;
            fd
        }
        "pipe" => rustix::pipe::pipe()?.0,
        "file" => rustix::fs::open("/etc/passwd", OFlags::RDONLY, Mode::empty())?,
        "directory" => rustix::fs::open("/", OFlags::RDONLY, Mode::empty())?,
        "socket" => std::os::unix::net::UnixStream::pair()?.0.into(),
        "device" => rustix::fs::open("/dev/zero", OFlags::RDONLY, Mode::empty())?,
        other => return Err(format!("unknown kind {other}").into()),
    })
}

fn memfd(content: &[u8], seals: SealFlags) -> std::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("probe", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest)?;
        rest = &rest[written..];
    }
    if !seals.is_empty() {
        rustix::fs::fcntl_add_seals(&fd, seals)?;
    }
    Ok(fd)
}
