//! What the tests have instead of the internet: a web server that is also a vendor's API, a resolver,
//! and ends for measuring.
//!
//! `internet serve DIRECTORY [RESOLVER…]` listens on port 80 (HTTP), 81 (takes what it is sent) and 82
//! (sends back what it is sent), and on port 53 of each RESOLVER. What the API is asked is noted in
//! DIRECTORY/asked. `internet push HOST:81 MEGABYTES` and `internet ping HOST:82 TIMES` measure.
//! `internet vendor ADDRESS` is an API for one test, which says whom it answers.

mod http;
mod vendor;

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

type Done = Result<(), Box<dyn Error + Send + Sync>>;

/// The web server's addresses, as the resolver tells them.
const WEB4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const WEB6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10);

const USAGE: &str =
    "usage: internet serve DIRECTORY [RESOLVER…] | vendor ADDRESS | push TO MB | ping TO TIMES";

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", directory, ref resolvers @ ..] => serve(Path::new(directory), resolvers),
        ["vendor", address] => vendor::serve(address),
        ["push", to, megabytes] => push(to, megabytes.parse()?),
        ["ping", to, times] => ping(to, times.parse()?),
        _ => Err(USAGE.into()),
    }
}

fn serve(directory: &Path, resolvers: &[&str]) -> Done {
    let directory = directory.to_path_buf();
    let asked = directory.join("asked");
    listen(80, move |stream| web(stream, &asked))?;
    listen(81, |mut stream| {
        std::io::copy(&mut stream, &mut std::io::sink())?;
        Ok(stream.write_all(b".")?)
    })?;
    listen(82, |mut stream| {
        stream.set_nodelay(true)?;
        let mut byte = [0];
        while stream.read(&mut byte)? > 0 {
            stream.write_all(&byte)?;
        }
        Ok(())
    })?;
    for address in resolvers {
        let address: IpAddr = address.parse()?;
        let socket = UdpSocket::bind((address, 53))?;
        thread::spawn(move || resolve(&socket, address));
    }
    std::fs::write(directory.join("ready"), "")?;
    loop {
        thread::park();
    }
}

fn listen(port: u16, handle: impl Fn(TcpStream) -> Done + Clone + Send + 'static) -> Done {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream).is_ok());
        }
    });
    Ok(())
}

/// One request. The answer to any but the API's says who asked and what was asked.
fn web(stream: TcpStream, asked: &PathBuf) -> Done {
    let request = http::Request::read(&stream)?;
    if !request.wants_a_message() {
        let peer = stream.peer_addr()?.ip().to_canonical();
        return http::answer(stream, "200 OK", "text/plain", &format!("hello {peer}\n"));
    }
    let (authorization, key) = (request.header("authorization"), request.header("x-api-key"));
    let line = format!("{}\t{authorization}\t{key}\n", request.line);
    let mut log = OpenOptions::new().append(true).create(true).open(asked)?;
    log.write_all(line.as_bytes())?;
    let (kind, content) = request.message();
    http::answer(stream, "200 OK", kind, &content)
}

/// Answers `web.*` with the web server, `v6.*` with its IPv6 address only, and `who.*` with the
/// resolver's own address.
fn resolve(socket: &UdpSocket, own: IpAddr) -> Done {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if let Some(answer) = answer(&buffer[..length], own) {
            socket.send_to(&answer, from)?;
        }
    }
}

fn answer(query: &[u8], own: IpAddr) -> Option<Vec<u8>> {
    let name_length = query.get(12..)?.iter().position(|&byte| byte == 0)? + 1;
    let end = 12 + name_length + 4;
    let kind = u16::from_be_bytes([*query.get(end - 4)?, *query.get(end - 3)?]);
    let label = query.get(13..13 + usize::from(*query.get(12)?))?;
    let found: Option<Vec<u8>> = match (label, kind, own) {
        (b"web", 1, _) => Some(WEB4.octets().to_vec()),
        (b"web" | b"v6", 28, _) => Some(WEB6.octets().to_vec()),
        (b"who", 1, IpAddr::V4(own)) => Some(own.octets().to_vec()),
        _ => None,
    };
    let mut reply = query.get(..end)?.to_vec();
    reply[2..4].copy_from_slice(&[0x81, 0x80]);
    reply[6..12].copy_from_slice(&[0, u8::from(found.is_some()), 0, 0, 0, 0]);
    if let Some(data) = found {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 1, 0]);
        reply.push(u8::try_from(data.len()).ok()?);
        reply.extend(data);
    }
    Some(reply)
}

/// Sends so much, and prints how many milliseconds that took.
fn push(to: &str, megabytes: usize) -> Done {
    let mut stream = TcpStream::connect(to)?;
    let block = vec![0; 1 << 20];
    let began = Instant::now();
    for _ in 0..megabytes {
        stream.write_all(&block)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_exact(&mut [0])?;
    println!("{:.1}", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Sends a byte and waits for it to come back, so many times; prints the microseconds of the median.
fn ping(to: &str, times: usize) -> Done {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    let mut took = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        stream.write_all(&[0])?;
        stream.read_exact(&mut [0])?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    println!("{:.1}", median.as_secs_f64() * 1e6);
    Ok(())
}
