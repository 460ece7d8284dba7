//! `claude token status`: shows the stored token.

use forage_api::bus::{TokenInfo, TokenState};
use forage_api::exit;
use jiff::Timestamp;

use super::{sandboxes_of_others, warn};
use crate::args::{Global, TokenStatus};
use crate::bus::Bus;
use crate::output::paint::Paint;
use crate::output::table::{Cell, Colour, pairs};
use crate::output::{json, moment};
use crate::{Error, output};

const RENEW: &str =
    "claude setup-token prints a token; store it with: forage-ctl claude token store";

pub(in crate::verbs) fn run(global: Global, arguments: &TokenStatus) -> Result<u8, Error> {
    let options = global.options();
    let bus = Bus::connect()?;
    let token = bus.tokens(async |tokens| tokens.status(&options).await)?;
    let code = exit_code(&token);
    warn(&token.warnings);
    if arguments.json {
        output::json(&json::Token::from(token))?;
        return Ok(code);
    }
    output::result(&rendered(&token, Timestamp::now(), Paint::stdout()))?;
    if token.state != TokenState::Valid.as_str() && !global.quiet {
        output::note(&format!("hint: {RENEW}\n"));
    }
    Ok(code)
}

fn exit_code(token: &TokenInfo) -> u8 {
    if token.state == TokenState::Missing.as_str() {
        exit::NO_SUCH
    } else {
        exit::OK
    }
}

fn rendered(token: &TokenInfo, now: Timestamp, paint: Paint) -> String {
    let mut rows = vec![("state", state(&token.state))];
    if token.source != "none" {
        rows.push(("source", token.source.as_str().into()));
    }
    if let Some(time) = &token.created_at {
        rows.push(("stored", moment::day(time).into()));
    }
    let expiries = [
        ("expires", &token.expires_at),
        ("login expires", &token.login_expires_at),
    ];
    for (key, time) in expiries {
        let Some(time) = time else { continue };
        let until = moment::until(time, now);
        let until = until.map_or_else(String::new, |until| format!(" ({until})"));
        rows.push((key, format!("{}{until}", moment::day(time)).into()));
    }
    if !token.sandboxes.is_empty() {
        rows.push(("used by", token.sandboxes.join(", ").into()));
    }
    if token.others > 0 {
        rows.push(("shared with", sandboxes_of_others(token.others).into()));
    }
    pairs(&rows, paint)
}

fn state(state: &str) -> Cell {
    let colour = match state {
        "valid" => Colour::Good,
        "expiring" | "missing" => Colour::Attention,
        "expired" => Colour::Bad,
        _ => Colour::Plain,
    };
    Cell::new(state, colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn the_token_for_people() {
        let now = "2026-03-20T21:00:00Z".parse().unwrap();
        let mut token = samples::token();
        insta::assert_snapshot!(rendered(&token, now, Paint::plain()), @r"
        state        valid
        source       token-store
        stored       2026-03-19
        expires      2027-03-19 (in 364 days)
        used by      s1, s3
        shared with  2 sandboxes of other users
        ");
        assert_eq!(exit_code(&token), 0);
        token.state = "expired".into();
        assert_eq!(exit_code(&token), 0);
        let mut missing = samples::no_token();
        assert_eq!(rendered(&missing, now, Paint::plain()), "state  missing\n");
        assert_eq!(exit_code(&missing), 3);
        // What sandboxes use in its place.
        missing.source = "host-login".into();
        missing.login_expires_at = Some("2026-03-21T04:25:00Z".into());
        insta::assert_snapshot!(rendered(&missing, now, Paint::plain()), @r"
        state          missing
        source         host-login
        login expires  2026-03-21 (in 7 h 25 min)
        ");
    }
}
