//! `claude token store`: hands a token to the daemon.

use std::os::fd::AsFd as _;

use forage_api::bus::TokenReply;
use forage_api::exit;

use super::{Reached, sandboxes_of_others, warn};
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
    let reached = Reached::ask(&bus, &options, &reply.updated);
    global.say(&stored(&reply, &reached))?;
    Ok(exit::OK)
}

fn stored(reply: &TokenReply, reached: &Reached) -> String {
    let mut text = match &reply.expires_at {
        Some(time) => format!("Token stored; it expires on {}\n", moment::day(time)),
        None => "Token stored\n".into(),
    };
    text += &reached.lines(
        "Running agents use it now: %",
        "Delivered, and used when an agent is started the next time: %",
        "Delivered to running sandboxes: %",
    );
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
        let reached = Reached {
            live: vec!["s3".into()],
            next_launch: vec!["s1".into()],
            unknown: vec![],
        };
        insta::assert_snapshot!(stored(&reply, &reached), @r"
        Token stored; it expires on 2027-03-19
        Running agents use it now: s3
        Delivered, and used when an agent is started the next time: s1
        It is shared: 2 sandboxes of other users got it, too
        ");
        assert_eq!(not_reached(&reply), None);
        reply.stale = vec!["s4".into()];
        assert_eq!(
            not_reached(&reply).unwrap(),
            "not reached, and to follow when they can be: s4"
        );
        reply.others = 0;
        let none = Reached::default();
        let text = stored(&reply, &none);
        assert_eq!(text, "Token stored; it expires on 2027-03-19\n");
    }
}
