//! `forage-shim`: what systemd starts as root for one sandbox.

use std::process::ExitCode;

use forage_api::ident::SandboxId;
use forage_shim::{cleanup, journal, process, remove, run};

const USAGE: &str = "usage: forage-shim ID | cleanup ID | remove ID | --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (operation, id, act): (_, _, fn(SandboxId) -> u8) = match words.as_slice() {
        ["--version"] => {
            println!("forage-shim {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        ["cleanup", id] => ("cleanup", *id, cleanup::cleanup),
        ["remove", id] => ("remove", *id, remove::remove),
        [id] => ("run", *id, run::run),
        _ => return usage(USAGE),
    };
    match id.parse::<SandboxId>() {
        Err(error) => usage(&format!("forage-shim: {error}\n{USAGE}")),
        Ok(id) => {
            journal::start(id, operation);
            match process::harden() {
                Ok(()) => ExitCode::from(act(id)),
                Err(error) => usage(&format!("forage-shim: {error}")),
            }
        }
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}
