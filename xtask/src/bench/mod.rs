//! `cargo xtask bench`: figures next to plain systemd's, from one run of release builds.

mod figures;
mod load;
mod network;
mod records;
mod rotation;
mod rows;
mod terminal;

use std::process::ExitCode;

use anyhow::Result;
use forage_tests::testbed::{self, Options, Profile, Testbed};

use figures::Table;

/// Measures everything and prints one table; fails when an aim is missed.
pub(crate) fn run() -> Result<ExitCode> {
    let mut options = Options::named("bench");
    options.profile = Profile::Release;
    let testbed = Testbed::boot(&options)?;
    let mut table = Table::default();
    rows::set_up(&testbed)?;
    rows::up(&testbed, &mut table)?;
    rows::exec(&testbed, &mut table)?;
    terminal::all(&testbed, &mut table)?;
    rows::memory(&testbed, &mut table)?;
    rotation::rotation(&testbed, &mut table)?;
    rotation::secret(&testbed, &mut table)?;
    rows::stop(&testbed, &mut table)?;
    network::network(&testbed, &mut table)?;
    records::listing(&testbed, &mut table)?;
    load::concurrent(&testbed, &testbed::build(options.profile)?, &mut table)?;
    println!("{}", machine());
    print!("{table}");
    Ok(if table.all_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or(": ?");
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{count} x {model}, kernel {}", kernel.trim())
}
