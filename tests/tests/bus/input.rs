//! Arguments that are wrong: refused with a clear error, and nothing changed.

use anyhow::{Result, ensure};

use crate::host::{BusHost, CONFIG};

#[test]
fn bad_names_are_refused() -> Result<()> {
    let host = BusHost::shared()?;
    let long = "x".repeat(64);
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "-a",
        "@",
        "%n",
        "a\nb",
        "\u{1b}[2J",
        "ѕ1",
        "A",
        "a.service",
        &long,
    ] {
        for what in [
            &["Create", "ssa{sv}", "--", name, "claude", "0"][..],
            &["Start", "sa{sv}", "--", name, "0"],
            &["Stop", "sa{sv}", "--", name, "0"],
            &["Remove", "sa{sv}", "--", name, "0"],
            &["Exec", "sa{sv}", "--", name, "0"],
            &["Get", "sa{sv}", "--", name, "0"],
        ] {
            let what: Vec<&str> = what.iter().copied().filter(|word| *word != "--").collect();
            let outcome = if name.starts_with('-') {
                continue;
            } else {
                host.call("alice", "Manager", &what)?
            };
            ensure!(!outcome.ok(), "{what:?} was taken");
            ensure!(
                outcome.stderr.contains("sandbox name"),
                "{what:?}: {}",
                outcome.stderr
            );
            ensure!(
                !outcome.stderr.contains('\u{1b}'),
                "{what:?} printed an escape"
            );
        }
    }
    nothing_changed(host)
}

#[test]
fn unknown_templates_options_and_users_are_refused() -> Result<()> {
    let host = BusHost::shared()?;
    for (what, expected) in [
        (&["Create", "ssa{sv}", "s1", "none", "0"][..], "template"),
        (&["Create", "ssa{sv}", "s1", "../x", "0"], "template name"),
        (
            &[
                "Create", "ssa{sv}", "s1", "claude", "1", "colour", "s", "red",
            ],
            "colour",
        ),
        (
            &[
                "Create",
                "ssa{sv}",
                "s1",
                "claude",
                "1",
                "repository",
                "u",
                "7",
            ],
            "",
        ),
        (
            &[
                "Create",
                "ssa{sv}",
                "s1",
                "claude",
                "1",
                "repository",
                "s",
                "relative",
            ],
            "absolute",
        ),
        (
            &[
                "Create",
                "ssa{sv}",
                "s1",
                "claude",
                "1",
                "repository",
                "s",
                "/a/../etc",
            ],
            "",
        ),
        (
            &[
                "Create",
                "ssa{sv}",
                "s1",
                "claude",
                "1",
                "owner",
                "s",
                "nosuchuser",
            ],
            "",
        ),
        (
            &["Remove", "sa{sv}", "s1", "1", "force", "b", "true"],
            "force",
        ),
        (&["List", "a{sv}", "1", "all", "b", "true"], "all"),
        (&["Create", "ss", "s1", "claude"], ""),
    ] {
        let outcome = host.call("alice", "Manager", what)?;
        ensure!(!outcome.ok(), "{what:?} was taken: {}", outcome.stdout);
        ensure!(
            outcome.stderr.contains(expected),
            "{what:?}: {}",
            outcome.stderr
        );
    }
    nothing_changed(host)
}

/// No record, no unit, no answer but the empty list.
fn nothing_changed(host: &BusHost) -> Result<()> {
    let list = host.call("alice", "Manager", &["List", "a{sv}", "0"])?;
    ensure!(
        list.stdout.trim() == "a(ssussssua{sv}) 0",
        "{}",
        list.text()
    );
    let files = host.sh("root", "ls /var/lib/firefly-forage/sandboxes")?;
    ensure!(files.trim().is_empty(), "records were left: {files}");
    Ok(())
}

#[test]
fn a_start_without_systemd_says_so_and_leaves_nothing() -> Result<()> {
    // There is a record for a moment, which nobody else's test is to see.
    let host = &BusHost::start(CONFIG)?;
    let outcome = host.run("bob", &["forage-ctl", "up", "b1", "-t", "claude"])?;
    ensure!(outcome.code() == 1, "{}", outcome.text());
    ensure!(outcome.stderr.contains("systemd"), "{}", outcome.text());
    ensure!(outcome.stderr.contains("hint:"), "{}", outcome.text());
    nothing_changed(host)
}
