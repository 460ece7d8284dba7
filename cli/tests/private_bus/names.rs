//! Several names, all, quiet, and names that are wrong.

use anyhow::{Result, ensure};

use crate::{Bus, stand_in};

#[test]
fn of_several_each_is_tried() -> Result<()> {
    let Some(bus) = Bus::start("of_several_each_is_tried")? else {
        return Ok(());
    };
    let (code, _, err) = bus.ctl(&["stop", "s1", "s2"], b"")?;
    ensure!(code == 6 && err.matches("error:").count() == 1, "{err}");
    ensure!(err.ends_with("warning: not tried, or without an answer: s1, s2\n"));
    let _daemon = stand_in::start(&bus.address())?;
    let names = ["stop", "s1", "leaving", "s1", "review-apj", "s2"];
    let (code, out, err) = bus.ctl(&names, b"")?;
    // The exit code is that of the first in their order.
    ensure!(code == 7, "{code}");
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    ensure!(lines.len() == 2 && lines[0].starts_with("s1 is stopped ("));
    ensure!(lines[1].starts_with("s2 is stopped ("));
    ensure!(
        err.contains("error: leaving: it is being stopped\n"),
        "{err}"
    );
    ensure!(err.contains("error: there is no sandbox review-apj\n"));

    let (code, out, err) = bus.ctl(&["start", "-q", "s1", "review-api"], b"")?;
    ensure!((code, out.as_str(), err.as_str()) == (0, "", ""));
    let (code, out, _) = bus.ctl(&["start", "s1", "review-api"], b"")?;
    ensure!(code == 0 && out.contains("review-api is ready in "));
    let (code, out, _) = bus.ctl(&["down", "s1", "review-api"], b"")?;
    ensure!(
        code == 0 && out.contains("review-api is removed ("),
        "{out}"
    );
    Ok(())
}

#[test]
fn all_is_asked_for_twice() -> Result<()> {
    let Some(bus) = Bus::start("all_is_asked_for_twice")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let owner = ["--owner", "alice"];
    let all = |verb: &[&'static str]| [verb, &["--all"], &owner].concat();
    for input in [&b""[..], b"y\n"] {
        let (code, out, err) = bus.ctl(&all(&["down"]), input)?;
        ensure!((code, out.as_str()) == (2, "") && err.contains("hint: give --yes"));
    }
    // What is gone when its turn comes is as good as removed.
    let (code, out, err) = bus.ctl(&all(&["down", "-y"]), b"")?;
    ensure!(code == 0 && out.lines().count() == 3, "{out}");
    ensure!(err.is_empty() && !out.contains("s2"));
    let (code, out, err) = bus.ctl(&all(&["stop"]), b"")?;
    ensure!(code == 0 && out.lines().count() == 2 && err.is_empty());
    for line in [
        &["stop", "--all", "s1"][..],
        &["stop"],
        &["down"],
        &["start"],
    ] {
        ensure!(bus.ctl(line, b"")?.0 == 2);
    }
    if nix::unistd::geteuid().is_root() {
        let (code, _, err) = bus.ctl(&["stop", "--all"], b"")?;
        ensure!(code == 2 && err.contains("hint: name the user with --owner USER"));
    }
    Ok(())
}

#[test]
fn only_what_went_wrong_is_said() -> Result<()> {
    let Some(bus) = Bus::start("only_what_went_wrong_is_said")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let (code, out, err) = bus.ctl(&["-q", "up", "new", "-t", "claude"], b"")?;
    ensure!((code, out.as_str()) == (0, ""));
    ensure!(err == "warning: it expires soon\n");
    let (code, out, err) = bus.ctl(&["up", "new", "-t", "claude", "--no-progress"], b"")?;
    ensure!(code == 0 && out.starts_with("new is ready in ") && !err.contains("booting"));
    let (code, _, err) = bus.ctl(&["up", "-q", "broken", "-t", "claude"], b"")?;
    ensure!(code == 8 && err == "error: it did not boot\nhint: look inside\n");
    let (_, out, _) = bus.ctl(&["ps", "-q"], b"")?;
    ensure!(out == "leaving\nreview-api\ns1\ns2\n", "{out}");
    let (_, out, _) = bus.ctl(&["templates", "-q"], b"")?;
    ensure!(out == "claude\nplain\n", "{out}");
    let (code, out, _) = bus.ctl(&["stop", "-q", "s1"], b"")?;
    ensure!((code, out.as_str()) == (0, ""));
    let (code, out, _) = bus.ctl(&["down", "-q", "s1"], b"")?;
    ensure!((code, out.as_str()) == (0, ""));
    Ok(())
}

#[test]
fn a_wrong_name_brings_the_near_one() -> Result<()> {
    let Some(bus) = Bus::start("a_wrong_name_brings_the_near_one")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let owner = ["--owner", "alice"];
    for line in [
        &["status", "reveiw-api"][..],
        &["start", "reveiw-api"],
        &["stop", "reveiw-api"],
        &["stop", "s1", "reveiw-api"],
        &["down", "reveiw-api"],
    ] {
        let (code, _, err) = bus.ctl(&[line, &owner].concat(), b"")?;
        ensure!(
            code == 3 && err.contains("hint: did you mean review-api?\n"),
            "{err}"
        );
    }
    let (code, _, err) = bus.ctl(&["status", "nothing-like-it", "--owner", "alice"], b"")?;
    ensure!(code == 3 && !err.contains("did you mean"));
    let (code, _, err) = bus.ctl(&["up", "s3", "-t", "cluade"], b"")?;
    ensure!(code == 3 && err.contains("hint: did you mean claude?\n"));

    let (code, _, err) = bus.ctl(&["up", "s1", "-t", "plain"], b"")?;
    let says = "there is a sandbox s1 already: running, of template claude, with the repository /x";
    ensure!(code == 4 && err.contains(says), "{err}");
    ensure!(err.contains("hint: forage-ctl shell s1 enters it"));
    Ok(())
}
