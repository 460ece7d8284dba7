//! What a shell gets at the Tab key, from daemons of all sorts.

use anyhow::{Result, ensure};

use crate::{Bus, stand_in};

#[test]
fn names_of_a_daemon() -> Result<()> {
    let Some(bus) = Bus::start("names_of_a_daemon")? else {
        return Ok(());
    };
    let _daemon = stand_in::start(&bus.address())?;
    let stop = b"forage-ctl\0--owner\0alice\0stop\0s\0";
    let (code, out, err) = bus.ctl(&["__complete", "bash", "4"], stop)?;
    ensure!((code, out.as_str(), err.as_str()) == (0, "values\ns1\ns2\n", ""));
    let (_, out, _) = bus.ctl(&["__complete", "fish", "4"], stop)?;
    ensure!(
        out == "values\ns1\trunning, claude\ns2\trunning, claude\n",
        "{out}"
    );
    // What would act on a terminal is written out.
    let up = b"forage-ctl\0up\0x\0-t\0";
    let (_, out, _) = bus.ctl(&["__complete", "zsh", "4"], up)?;
    let about = r"for \\u{1b}[31mtests";
    ensure!(
        out == format!("values\nclaude:{about}\nplain:{about}\n"),
        "{out}"
    );
    Ok(())
}

#[test]
fn a_daemon_that_is_away_or_says_nothing_is_no_trouble() -> Result<()> {
    let Some(bus) = Bus::start("a_daemon_that_is_away_or_says_nothing_is_no_trouble")? else {
        return Ok(());
    };
    let ask = |line: &[&str]| -> Result<()> {
        let index = (line.len() - 1).to_string();
        let words = line.join("\0") + "\0";
        let (code, out, err) = bus.ctl(&["__complete", "bash", &index], words.as_bytes())?;
        ensure!(
            (code, out.as_str(), err.as_str()) == (0, "values\n", ""),
            "{out}{err}"
        );
        Ok(())
    };
    let stop = ["forage-ctl", "--owner", "alice", "stop", ""];
    let up = ["forage-ctl", "up", "x", "-t", ""];
    ask(&stop)?;
    ask(&up)?;
    let _deaf = stand_in::deaf(&bus.address())?;
    ask(&stop)?;
    ask(&up)?;
    let (code, out, _) = bus.ctl(&["__complete", "bash", "1"], b"forage-ctl\0sta\0")?;
    ensure!(
        (code, out.as_str()) == (0, "values\nstart\nstatus\n"),
        "{out}"
    );
    Ok(())
}
