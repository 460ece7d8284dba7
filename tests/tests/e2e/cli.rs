//! The command line as people use it: in their shell, with several sandboxes, and with slips.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::pane::Pane;
use crate::support::{Sandbox, Undo, alone, beside_others, ctl, ctl_ok};

/// A shell, how it is started, and what a user's start-up files would do.
const SHELLS: [(&str, &str); 3] = [
    (
        "bash --norc",
        "source /usr/share/bash-completion/bash_completion",
    ),
    ("zsh -f", "autoload -U compinit; compinit -u -D"),
    (
        "fish --private --no-config",
        "source /usr/share/fish/vendor_completions.d/forage-ctl.fish",
    ),
];

#[test]
fn shells_complete_the_names_of_sandboxes_and_templates() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _one = Sandbox::up(testbed, "bob", "tab-one", "claude", &[])?;
    let _two = Sandbox::up(testbed, "bob", "tab-two", "claude", &[])?;
    ctl_ok(testbed, "bob", &["stop", "tab-two"])?;
    testbed.run_ok("bob", &["mkdir", "-p", "/home/bob/tab dir"])?;
    for (shell, setup) in SHELLS {
        let pane = Pane::open(testbed, "bob", shell)?;
        pane.line(&format!("{setup}; echo rea''dy"))?;
        pane.shows("ready")?;
        for (typed, completed) in [
            ("forage-ctl stop ta", "forage-ctl stop tab-one"),
            ("forage-ctl start ta", "forage-ctl start tab-two"),
            (
                "forage-ctl exec --env A=b ta",
                "forage-ctl exec --env A=b tab-one",
            ),
            (
                "forage-ctl up new -t claude-",
                "forage-ctl up new -t claude-key",
            ),
            (
                "forage-ctl up new --template=claude-",
                "--template=claude-key",
            ),
            (
                "forage-ctl claude token sto",
                "forage-ctl claude token store",
            ),
            (
                "forage-ctl up new --repo=/home/bob/ta",
                r"--repo=/home/bob/tab\ dir/",
            ),
            (
                "forage-ctl down --delete-w",
                "forage-ctl down --delete-workspace",
            ),
        ] {
            pane.keys(&["-l", typed])?;
            pane.completes(completed)?;
            pane.keys(&["C-u"])?;
        }
    }
    Ok(())
}

/// What is typed and not entered yet must not be in anybody's list of processes.
#[test]
fn what_is_completed_is_in_no_argument() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    for (number, (shell, setup)) in SHELLS.into_iter().enumerate() {
        let place = format!("/home/bob/stub-{number}");
        let _place = Undo::new(testbed, format!("rm -rf {place}"));
        let seen = format!("{place}/seen");
        let stub = format!("#!/bin/sh\n{{ echo \"arguments: $*\"; cat; }} > {seen}\n");
        let program = format!("{place}/forage-ctl");
        testbed.write_file(&program, "bob", "0755", stub.as_bytes())?;
        testbed.run_ok("root", &["chown", "bob", &place])?;
        let pane = Pane::open(testbed, "bob", &format!("PATH={place}:$PATH exec {shell}"))?;
        pane.line(&format!("{setup}; echo rea''dy"))?;
        pane.shows("ready")?;
        pane.keys(&["-l", "forage-ctl claude token store CANARY"])?;
        pane.keys(&["Tab"])?;
        let text = wait_for("the shell's question", Duration::from_secs(60), || {
            let text = testbed.run("bob", &["cat", &seen])?.stdout;
            Ok(Some(text).filter(|text| text.contains("CANARY")))
        })?;
        let (arguments, line) = text.split_once('\n').unwrap_or_default();
        ensure!(arguments.starts_with("arguments: __complete "), "{text}");
        ensure!(!arguments.contains("CANARY"), "{shell}: {arguments}");
        ensure!(
            line == "forage-ctl\0claude\0token\0store\0CANARY\0",
            "{line:?}"
        );
    }
    Ok(())
}

#[test]
fn manual_pages_are_where_man_looks() -> Result<()> {
    let testbed = Testbed::shared()?;
    for page in [
        "man1/forage-ctl.1",
        "man1/forage-ctl-up.1",
        "man8/foraged.8",
    ] {
        testbed.run_ok("alice", &["test", "-s", &format!("/usr/share/man/{page}")])?;
    }
    Ok(())
}

#[test]
fn several_sandboxes_at_once_and_all_of_them() -> Result<()> {
    let testbed = Testbed::shared()?;
    // All of bob's are meant.
    let _alone = alone();
    let names = ["all-a", "all-b", "all-c"];
    let mut sandboxes = Vec::new();
    for name in names {
        sandboxes.push(Sandbox::up(testbed, "bob", name, "claude-key", &["-q"])?);
    }
    let out = ctl_ok(testbed, "bob", &["stop", "all-a", "all-b"])?;
    ensure!(out.contains("all-a is stopped (") && out.contains("all-b is stopped ("));
    let mixed = ctl(testbed, "bob", &["start", "all-a", "all-c", "all-b"])?;
    ensure!(mixed.code() == 4, "{}", mixed.text());
    ensure!(
        mixed.stdout.contains("all-a is ready in ") && mixed.stdout.contains("all-b is ready in ")
    );
    let out = ctl_ok(testbed, "bob", &["stop", "--all"])?;
    ensure!(out.lines().count() == 3, "{out}");
    ensure!(ctl_ok(testbed, "bob", &["stop", "--all"])? == "no sandbox runs\n");
    ensure!(ctl_ok(testbed, "bob", &["ps", "-q"])? == "all-a\nall-b\nall-c\n");

    ensure!(ctl(testbed, "bob", &["down", "--all"])?.code() == 2);
    let pane = Pane::open(testbed, "bob", "bash --norc")?;
    pane.line("forage-ctl down --all; echo code $?")?;
    pane.shows("Remove all-a, all-b, all-c? [y/N]")?;
    pane.line("")?;
    pane.shows("code 1")?;
    ensure!(ctl_ok(testbed, "bob", &["ps", "-q"])?.lines().count() == 3);
    pane.line("echo again; forage-ctl down --all; echo code $?")?;
    pane.shows("again\nRemove all-a, all-b, all-c? [y/N]")?;
    pane.line("y")?;
    pane.shows("code 0")?;
    let out = ctl_ok(testbed, "bob", &["down", "--all", "--yes"])?;
    ensure!(out == "there is no sandbox to remove\n", "{out}");
    Ok(())
}

#[test]
fn slips_are_answered_with_what_was_meant() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "review-api", "claude-key", &[])?;
    let again = ctl(testbed, "bob", &["up", "review-api", "-t", "claude"])?;
    ensure!(again.code() == 4, "{}", again.text());
    let says = "there is a sandbox review-api already: running, of template claude-key\n";
    ensure!(again.stderr.contains(says), "{}", again.stderr);
    ensure!(
        again
            .stderr
            .contains("hint: forage-ctl shell review-api enters it")
    );
    ctl_ok(testbed, "bob", &["stop", "review-api"])?;
    let again = ctl(testbed, "bob", &["up", "review-api", "-t", "claude-key"])?;
    ensure!(
        again.stderr.contains("already: stopped\n"),
        "{}",
        again.stderr
    );
    ensure!(again.stderr.contains("hint: forage-ctl start review-api"));

    let slip = ctl(testbed, "bob", &["start", "reveiw-api"])?;
    ensure!(slip.code() == 3 && slip.stderr.contains("did you mean review-api?"));
    // Somebody else's name is not given away.
    let other = ctl(testbed, "alice", &["start", "reveiw-api"])?;
    ensure!(
        other.code() == 3 && !other.stderr.contains("review-api"),
        "{}",
        other.stderr
    );
    let slip = ctl(testbed, "bob", &["up", "x", "-t", "cluade-key"])?;
    ensure!(slip.code() == 3 && slip.stderr.contains("did you mean claude-key?"));
    Ok(())
}
