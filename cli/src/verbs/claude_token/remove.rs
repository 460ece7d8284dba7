//! `claude token remove`: takes the token away.

use forage_api::bus::TokenReply;
use forage_api::exit;

use super::{Reached, sandboxes_of_others, warn};
use crate::args::Global;
use crate::bus::Bus;
use crate::{Error, output};

pub(in crate::verbs) fn run(global: Global) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let reply = bus.tokens(async |tokens| tokens.remove(&options).await)?;
    warn(&reply.warnings);
    if !reply.stale.is_empty() {
        output::warning(&format!(
            "not reached, so they may still have it until they can be: {}",
            reply.stale.join(", ")
        ));
    }
    let reached = Reached::ask(&bus, &options, &reply.updated);
    global.say(&removed(&reply, &reached))?;
    Ok(exit::OK)
}

fn removed(reply: &TokenReply, reached: &Reached) -> String {
    let mut text = String::from("Token removed\n");
    const KEPT: &str = "Taken away from running sandboxes: %\n\
        Agents that run there already keep it until they end, or until forage-ctl stop";
    text += &reached.lines("Taken away from running agents: %", KEPT, KEPT);
    if reply.others > 0 {
        let others = sandboxes_of_others(reply.others);
        text += &format!("It was shared: {others} lost it, too\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn what_was_removed() {
        let mut reply = samples::stored();
        reply.others = 1;
        let reached = Reached {
            live: vec!["s2".into()],
            next_launch: vec!["s1".into(), "s3".into()],
            unknown: vec![],
        };
        insta::assert_snapshot!(removed(&reply, &reached), @r"
        Token removed
        Taken away from running agents: s2
        Taken away from running sandboxes: s1, s3
        Agents that run there already keep it until they end, or until forage-ctl stop
        It was shared: 1 sandbox of another user lost it, too
        ");
        assert_eq!(
            removed(&samples::nothing_done(), &Reached::default()),
            "Token removed\n"
        );
    }
}
