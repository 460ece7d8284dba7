//! `host-login watch`: keeps the daemon's copy of the login on this host current.

use forage_api::exit;

use crate::args::Global;
use crate::{Error, host_login};

pub(super) fn watch(global: &Global) -> Result<u8, Error> {
    if !host_login::may_offer(global.owner.as_deref()) {
        let error = Error::usage("a login is handed over by the user whose it is, who is not root");
        return Err(error.hint("run it as that user, without --owner"));
    }
    let Some(path) = host_login::file() else {
        return Err(
            Error::failure("you have no home, so there is no login to watch")
                .hint("set HOME or CLAUDE_CONFIG_DIR"),
        );
    };
    host_login::watch(&path, global.quiet)?;
    Ok(exit::OK)
}
