//! `foraged`: policy and state of Firefly Forage. It faces the system bus and holds no capability;
//! what needs root is done by the shims it has systemd start.
//!
//! | module | what | may use |
//! | --- | --- | --- |
//! | `core` | decisions and state | `forage_api` only, and the traits it defines |
//! | `auth` | users, groups, polkit | `core`'s traits |
//! | `store` | records and tokens on disk | `core`'s traits |
//! | `runtime` | systemd, shims, clocks | `core`'s traits |
//! | `bus` | the D-Bus interfaces | `core` |
//! | `run` | wires them together | all |

mod auth;
mod blocking;
mod bus;
mod core;
mod hardening;
mod logging;
mod run;
mod runtime;
mod service;
mod store;
mod stream;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use foraged_args as args;

fn main() -> ExitCode {
    let args = args::Args::parse();
    if let Some(args::Command::CheckConfig { file }) = &args.command {
        return check_config(file);
    }
    logging::init(args.log);
    match run::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(FORAGE_EVENT = "exit", "{error}");
            ExitCode::FAILURE
        }
    }
}

fn check_config(file: &Path) -> ExitCode {
    match forage_api::config::parse(file) {
        Ok(_) => {
            println!("ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
