//! `claude token store`: hands a token to the daemon.

use std::os::fd::AsFd as _;

use forage_api::bus::TokenReply;
use forage_api::exit;

use super::{sandboxes_of_others, warn};
use crate::args::{Global, TokenStore};
use crate::bus::Bus;
use crate::output::moment;
use crate::token::{self, Source};
use crate::{Error, output};

pub(in crate::verbs) fn run(global: Global, arguments: TokenStore) -> Result<u8, Error> {
    let source = Source::of(arguments.token, arguments.file, token::can_ask())?;
    if matches!(source, Source::Arguments(_)) {
        output::warning(
            "a token on the command line can be seen by other users in the process list, and\n\
             stays in the shell's history; prefer forage-ctl claude token store without it",
        );
    }
    let options = global.options();
    let memory = token::sealed(&source.read()?)?;
    let bus = Bus::connect()?;
    let reply = bus.tokens(async |tokens| tokens.store(memory.as_fd().into(), &options).await)?;
    warn(&reply.warnings);
    if let Some(warning) = not_reached(&reply) {
        output::warning(&warning);
    }
    global.say(&stored(&reply))?;
    Ok(exit::OK)
}

fn stored(reply: &TokenReply) -> String {
    let mut text = match &reply.expires_at {
        Some(time) => format!("Token stored; it expires on {}\n", moment::day(time)),
        None => "Token stored\n".into(),
    };
    if !reply.updated.is_empty() {
        text += &format!(
            "Running sandboxes have it now: {}\n",
            reply.updated.join(", ")
        );
    }
    if reply.others > 0 {
        let others = sandboxes_of_others(reply.others);
        text += &format!("It is shared: {others} got it, too\n");
    }
    text
}

fn not_reached(reply: &TokenReply) -> Option<String> {
    (!reply.stale.is_empty()).then(|| {
        format!(
            "not reached, and to follow when they can be: {}",
            reply.stale.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn what_was_stored() {
        let mut reply = samples::stored();
        insta::assert_snapshot!(stored(&reply), @r"
        Token stored; it expires on 2027-03-19
        Running sandboxes have it now: s1, s3
        It is shared: 2 sandboxes of other users got it, too
        ");
        assert_eq!(not_reached(&reply), None);
        reply.stale = vec!["s4".into()];
        assert_eq!(
            not_reached(&reply).unwrap(),
            "not reached, and to follow when they can be: s4"
        );
        reply.updated.clear();
        reply.others = 0;
        assert_eq!(stored(&reply), "Token stored; it expires on 2027-03-19\n");
    }
}
