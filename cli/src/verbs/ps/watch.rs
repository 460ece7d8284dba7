//! `ps --watch`: the list again whenever it changes.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use forage_api::exit;
use jiff::Timestamp;

use super::{Look, NONE, View};
use crate::Error;
use crate::args::{Global, Ps};
use crate::bus::{Bus, Reason, Watch, failed};
use crate::output::{self, json};

/// How often it is looked again in any case: ages grow, credentials come near their end, and a signal
/// may be left out under a flood.
const EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether a program still reads.
const LOOK: Duration = Duration::from_secs(1);
/// What clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows it until nobody reads any more, or a signal ends this.
pub(super) fn run(global: &Global, arguments: &Ps) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let terminal = io::stdout().is_terminal() && !arguments.json;
    let names_only = global.quiet && !arguments.json;
    let mut last = None;
    let mut looked = Instant::now();
    let watch = Watch {
        sandbox: None,
        pause: if terminal { EVERY } else { LOOK },
    };
    bus.watch(watch, async |manager, reason| {
        if reason == Reason::Pause && output::nobody_reads() {
            return Ok(Some(()));
        }
        if reason == Reason::Pause && looked.elapsed() < EVERY {
            return Ok(None);
        }
        looked = Instant::now();
        let view = View::ask(manager, &options, names_only).await;
        let view = view.map_err(|error| failed(&error))?;
        let seen = (view.sandboxes.clone(), view.conditions(Timestamp::now()));
        // A program is told of changes only.
        if !terminal && last.as_ref() == Some(&seen) {
            return Ok(None);
        }
        last = Some(seen);
        let text = shown(&view, global, arguments.json)?;
        let text = if terminal {
            format!("{CLEAR}{text}")
        } else {
            text
        };
        Ok(written(&text)?.then_some(()))
    })?;
    Ok(exit::OK)
}

/// One block: what `ps` would print, and a line that ends it; as JSON, one line.
fn shown(view: &View, global: &Global, as_json: bool) -> Result<String, Error> {
    if as_json {
        let all = json::Sandboxes::new(view.sandboxes.clone(), &view.templates, Timestamp::now());
        let text = serde_json::to_string(&all);
        let text = text.map_err(|error| {
            Error::failure(format!("the result could not be put as JSON: {error}"))
        })?;
        return Ok(text + "\n");
    }
    let text = match (global.quiet, view.sandboxes.is_empty()) {
        (true, _) => view.names(),
        (false, true) => NONE.to_owned(),
        (false, false) => view.rendered(Look::now()),
    };
    Ok(text + "\n")
}

/// Writes to standard output; tells whether nobody reads it any more.
fn written(text: &str) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(Error::system(
            "standard output could not be written",
            &error,
        )),
    }
}
