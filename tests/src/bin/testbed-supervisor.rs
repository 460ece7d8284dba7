//! The process a run of the testbed hangs on. The testbed starts it; people do not.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(run) = std::env::args_os().nth(1) else {
        eprintln!("usage: testbed-supervisor RUN-DIRECTORY");
        return ExitCode::from(2);
    };
    match forage_tests::testbed::supervise(Path::new(&run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
