//! What a client does that means harm. Each says `ready` when the harm is done and goes on holding it
//! until its standard input ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use forage_api::names::{MANAGER_INTERFACE as MANAGER, TOKENS_INTERFACE as TOKENS};
use zbus::{Fd, Variant};

use super::Done;
use super::raw::{MOST_FDS, Raw, call};

type Options = HashMap<String, Variant<'static>>;

/// Asks again and again and never reads an answer.
pub(crate) fn silent() -> Done {
    let raw = Raw::connect()?;
    raw.give_up_after(Duration::from_secs(1))?;
    let list = call(MANAGER, "List", true, &Options::new())?;
    let sent = (0..20_000)
        .take_while(|_| raw.send(&list, &[]).is_ok())
        .count();
    hold(&format!("{sent} calls"))
}

/// Sends as many descriptors with each message as the bus takes.
pub(crate) fn descriptors() -> Done {
    let raw = Raw::connect()?;
    raw.give_up_after(Duration::from_secs(1))?;
    let mut sent = 0;
    for _ in 0..500 {
        let mut fds = Vec::new();
        for _ in 0..MOST_FDS {
            fds.push(OwnedFd::from(File::open("/dev/null")?));
        }
        let body: Vec<Fd<'_>> = fds.iter().map(Fd::from).collect();
        let store = call(TOKENS, "Store", false, &body)?;
        if raw.send(&store, &fds).is_err() {
            break;
        }
        sent += 1;
    }
    hold(&format!("{sent} messages"))
}

/// Sends messages as large as the bus takes, and larger.
pub(crate) fn large() -> Done {
    let mut sent = 0;
    for size in [31 << 20, (32 << 20) - 512, 33 << 20] {
        let raw = Raw::connect()?;
        raw.give_up_after(Duration::from_secs(10))?;
        for member in ["Create", "Get", "Start"] {
            let name = "x".repeat(size);
            let message = call(MANAGER, member, true, &(name, "claude", Options::new()));
            // The library may refuse to make what the bus would refuse to take.
            sent += u32::from(message.is_ok_and(|message| raw.send(&message, &[]).is_ok()));
        }
    }
    hold(&format!("{sent} messages"))
}

/// Asks for much and wants no answer.
pub(crate) fn flood() -> Done {
    let raw = Raw::connect()?;
    raw.give_up_after(Duration::from_secs(5))?;
    let mut sent = 0;
    for (member, interface) in [
        ("List", MANAGER),
        ("Templates", MANAGER),
        ("Nothing", TOKENS),
    ] {
        let message = call(interface, member, false, &Options::new())?;
        sent += (0..10_000)
            .take_while(|_| raw.send(&message, &[]).is_ok())
            .count();
    }
    hold(&format!("{sent} calls"))
}

/// Takes every connection it can get, and listens on each.
pub(crate) fn connections() -> Done {
    let subscribe = call(MANAGER, "Subscribe", true, &())?;
    let mut all = Vec::new();
    for _ in 0..300 {
        match Raw::connect().and_then(|raw| raw.send(&subscribe, &[]).map(|()| raw)) {
            Ok(raw) => all.push(raw),
            Err(_) => break,
        }
    }
    hold(&format!("{} connections", all.len()))
}

fn hold(done: &str) -> Done {
    println!("ready {done}");
    io::stdout().flush()?;
    let mut end = Vec::new();
    io::stdin().read_to_end(&mut end)?;
    Ok(())
}
