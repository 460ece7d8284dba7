//! Names that were mistyped: the near one is suggested, out of what the caller may see anyway.

use forage_api::ErrorKind;
use forage_api::bus::OwnerOptions;
use nix::unistd::geteuid;
use strsim::osa_distance;

use crate::Error;
use crate::bus::Bus;

/// How many names are suggested at most.
const MOST: usize = 3;

/// Adds the near names to what the daemon said about a sandbox that is not there.
pub(crate) fn sandbox(error: Error, name: &str, owner: Option<&str>) -> Error {
    if error.kind != Some(ErrorKind::NoSuchSandbox) {
        return error;
    }
    suggesting(error, name, sandboxes(owner))
}

/// The names of the owner's sandboxes, or none where they cannot be had.
pub(crate) fn sandboxes(owner: Option<&str>) -> Vec<String> {
    let options = OwnerOptions {
        owner: owner.map(str::to_owned),
    };
    let list = |bus: Bus| bus.manager(async |manager| manager.list(&options).await);
    let rows = Bus::connect().and_then(list).unwrap_or_default();
    let own = geteuid().as_raw();
    rows.into_iter()
        .filter(|row| owner.is_some() || row.owner == own)
        .map(|row| row.name)
        .collect()
}

/// Adds the near names to what the daemon said about a template that is not there.
pub(crate) fn template(error: Error, name: &str, bus: &Bus) -> Error {
    if error.kind != Some(ErrorKind::NoSuchTemplate) {
        return error;
    }
    let known = bus.manager(async |manager| manager.templates().await);
    let known = known.unwrap_or_default().into_iter();
    suggesting(error, name, known.map(|template| template.name).collect())
}

/// Puts the names that are near what was asked for before the hint.
pub(crate) fn suggesting(mut error: Error, asked: &str, known: Vec<String>) -> Error {
    if let Some(question) = question(&nearest(asked, known)) {
        error.hint = match error.hint.as_str() {
            "" => question,
            hint => format!("{question}\n{hint}"),
        };
    }
    error
}

/// The known names that differ least, unless they differ too much.
fn nearest(asked: &str, known: Vec<String>) -> Vec<String> {
    let most = match asked.chars().count() {
        0..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let mut near: Vec<(usize, String)> = known
        .into_iter()
        .map(|name| (distance(asked, &name), name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort();
    let best = near.first().map(|(distance, _)| *distance);
    near.into_iter()
        .filter(|(distance, _)| Some(*distance) == best)
        .map(|(_, name)| name)
        .take(MOST)
        .collect()
}

/// What was typed halfway counts as one slip.
fn distance(asked: &str, name: &str) -> usize {
    let halfway = asked.len() >= 3 && name.starts_with(asked);
    let edits = osa_distance(asked, name);
    if halfway { edits.min(1) } else { edits }
}

fn question(names: &[String]) -> Option<String> {
    let (last, others) = names.split_last()?;
    Some(match others {
        [] => format!("did you mean {last}?"),
        others => format!("did you mean {} or {last}?", others.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, known: &[&str]) -> Option<String> {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        question(&nearest(name, known))
    }

    #[test]
    fn what_is_near() {
        let known = ["s1", "s2", "review-api", "review-web", "docs"];
        for (name, says) in [
            ("s3", Some("did you mean s1 or s2?")),
            ("reveiw-api", Some("did you mean review-api?")),
            ("review-ap", Some("did you mean review-api?")),
            ("review", Some("did you mean review-api or review-web?")),
            ("dosc", Some("did you mean docs?")),
            ("x", None),
            ("elsewhere", None),
            ("docs-of-mine", None),
        ] {
            assert_eq!(asked(name, &known).as_deref(), says, "{name}");
        }
        let many = ["a1", "a2", "a3", "a4", "a5"];
        let says = asked("a9", &many).unwrap();
        assert_eq!(says, "did you mean a1, a2 or a3?");
    }

    #[test]
    fn the_question_comes_before_the_hint() {
        let error = Error::usage("there is no sandbox s2").hint("forage-ctl ps lists them");
        let error = suggesting(error, "s2", vec!["s1".into()]);
        assert_eq!(error.hint, "did you mean s1?\nforage-ctl ps lists them");
        let error = suggesting(Error::usage("x"), "s2", vec!["s1".into()]);
        assert_eq!(error.hint, "did you mean s1?");
        assert_eq!(suggesting(Error::usage("x"), "s2", vec![]).hint, "");
    }
}
