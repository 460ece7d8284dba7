//! The `forage-ctl` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = forage_ctl::hardening::keep_memory_private() {
        eprintln!("error: cannot rule out core dumps: {error}");
        return ExitCode::from(forage_api::exit::FAILURE);
    }
    if let Some(code) = forage_ctl::complete::requested(std::env::args_os(), std::io::stdin()) {
        return ExitCode::from(code);
    }
    let arguments = match forage_ctl::args::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(refusal) => return ExitCode::from(refusal.print()),
    };
    match forage_ctl::verbs::run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            forage_ctl::output::error(&error);
            ExitCode::from(error.exit)
        }
    }
}
