//! `claude token`: the token store.

pub(super) mod remove;
pub(super) mod status;
pub(super) mod store;

use crate::output;

/// Shows what the daemon has to say besides.
fn warn(warnings: &[String]) {
    warnings.iter().for_each(|line| output::warning(line));
}

fn sandboxes_of_others(count: u32) -> String {
    match count {
        1 => "1 sandbox of another user".into(),
        count => format!("{count} sandboxes of other users"),
    }
}
