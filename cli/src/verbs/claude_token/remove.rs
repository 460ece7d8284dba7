//! `claude token remove`: takes the token away.

use forage_api::bus::TokenReply;
use forage_api::exit;

use super::{sandboxes_of_others, warn};
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
    global.say(&removed(&reply))?;
    Ok(exit::OK)
}

fn removed(reply: &TokenReply) -> String {
    let mut text = String::from("Token removed\n");
    if !reply.updated.is_empty() {
        let lost = reply.updated.join(", ");
        text += &format!(
            "Taken away from running sandboxes: {lost}\n\
             Agents that run there already keep it until they end, or until forage-ctl stop\n"
        );
    }
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
        insta::assert_snapshot!(removed(&reply), @r"
        Token removed
        Taken away from running sandboxes: s1, s3
        Agents that run there already keep it until they end, or until forage-ctl stop
        It was shared: 1 sandbox of another user lost it, too
        ");
        assert_eq!(removed(&samples::nothing_done()), "Token removed\n");
    }
}
