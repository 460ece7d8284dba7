//! What is refused, with a clear error and nothing changed.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, alone, beside_others, ctl};

#[test]
fn repositories_that_cannot_be_a_workspace() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    testbed.run_ok("bob", &["sh", "-c", "mkdir -p ~/ok && touch ~/file && ln -sfn /root ~/to-root && mkfifo -m 600 ~/fifo 2>/dev/null; ln -sfn /home/alice ~/to-alice; mkdir -p ~/shared"])?;
    testbed.run_ok("root", &["chgrp", "root", "/home/bob/shared"])?;
    let before = testbed.inventory()?;
    for path in [
        "/home/bob/none",
        "/home/bob/file",
        "/home/bob/fifo",
        "/home/bob/to-root",
        "/home/bob/to-alice",
        "/home/bob/shared",
        "/home/alice",
        "/",
        "/proc",
        "/proc/self",
        "/proc/self/root",
        "/proc/1/root/home/bob/ok",
        "/sys/kernel",
        "/dev",
        "/dev/null",
        "/root",
        "/etc",
        "/tmp",
        "/var/lib/firefly-forage",
        "/var/lib/firefly-forage/workspaces",
        "/run/firefly-forage/secrets",
        "/etc/firefly-forage",
    ] {
        let outcome = ctl(
            testbed,
            "bob",
            &["up", "refused", "-t", "claude-key", "--repo", path],
        )?;
        ensure!(
            [1, 2].contains(&outcome.code()),
            "{path}: {}",
            outcome.text()
        );
        ensure!(
            outcome.stderr.contains("error:") && outcome.stderr.contains("hint:"),
            "{path}: {}",
            outcome.text()
        );
        let status = ctl(testbed, "bob", &["status", "refused"])?;
        ensure!(
            status.code() == 3,
            "{path} left a sandbox: {}",
            status.text()
        );
    }
    let left = testbed.inventory()?.since(&before);
    ensure!(
        left.is_empty(),
        "left behind:
{left}"
    );
    Ok(())
}

#[test]
fn odd_but_honest_paths_work() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    for (number, name) in [
        "a:b", "a\\b", "a b", "a\nb", "a\"b", "%n", "$HOME", "ä", "a,b",
    ]
    .iter()
    .enumerate()
    {
        let path = format!("/home/bob/odd/{name}");
        testbed.run_ok("bob", &["mkdir", "-p", &path])?;
        testbed.run_ok("bob", &["touch", &format!("{path}/here-{number}")])?;
        let sandbox = Sandbox::up(
            testbed,
            "bob",
            &format!("odd{number}"),
            "claude-key",
            &["--repo", &path],
        )?;
        ensure!(
            sandbox.exec_ok(&["ls"])? == format!("here-{number}"),
            "{name:?}"
        );
    }
    let bytes = testbed.sh("bob", "mkdir -p ~/$(printf '\\377') && forage-ctl up bytes -t claude-key --repo ~/$(printf '\\377')")?;
    ensure!(
        bytes.code() != 0 && bytes.stderr.contains("UTF-8"),
        "{}",
        bytes.text()
    );
    Ok(())
}

#[test]
fn a_swapped_path_changes_nothing() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    testbed.run_ok(
        "bob",
        &["sh", "-c", "mkdir -p ~/swap && echo mine > ~/swap/file"],
    )?;
    let sandbox = Sandbox::up(
        testbed,
        "bob",
        "swap",
        "claude-key",
        &["--repo", "/home/bob/swap"],
    )?;
    testbed.run_ok(
        "bob",
        &["sh", "-c", "mv ~/swap ~/swapped && ln -s /etc ~/swap"],
    )?;
    ensure!(sandbox.exec_ok(&["cat", "/workspace/file"])? == "mine");
    let stop = ctl(testbed, "bob", &["stop", "swap"])?;
    ensure!(stop.ok(), "{}", stop.text());
    let start = ctl(testbed, "bob", &["start", "swap"])?;
    ensure!(
        start.code() == 1,
        "a symlink to /etc was mounted: {}",
        start.text()
    );
    ensure!(sandbox.field("state")? == "stopped" || sandbox.field("state")? == "failed");
    testbed.run_ok("bob", &["sh", "-c", "rm ~/swap; mv ~/swapped ~/swap"])?;
    ensure!(ctl(testbed, "bob", &["start", "swap"])?.ok());
    Ok(())
}

#[test]
fn root_owns_no_sandbox_and_acts_for_a_named_user() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let own = ctl(testbed, "root", &["up", "rooted", "-t", "claude-key"])?;
    ensure!(
        own.code() != 0 && own.stderr.contains("--owner"),
        "{}",
        own.text()
    );
    let root = ctl(
        testbed,
        "root",
        &["--owner", "root", "up", "rooted", "-t", "claude-key"],
    )?;
    ensure!(root.code() != 0, "{}", root.text());
    let mallory = ctl(
        testbed,
        "root",
        &["--owner", "mallory", "up", "rooted", "-t", "claude-key"],
    )?;
    ensure!(mallory.code() != 0, "{}", mallory.text());
    let up = ctl(
        testbed,
        "root",
        &["--owner", "bob", "up", "rooted", "-t", "claude-key"],
    )?;
    ensure!(up.ok(), "{}", up.text());
    let sandbox = Sandbox::adopt(testbed, "bob", "rooted")?;
    ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
    ensure!(ctl(testbed, "root", &["ps"])?.stdout.contains("rooted"));
    ensure!(ctl(testbed, "root", &["--owner", "bob", "down", "rooted"])?.ok());
    Ok(())
}

#[test]
fn of_two_ups_of_one_name_exactly_one_wins() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let outcomes = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ctl(testbed, "bob", &["up", "race", "-t", "claude-key"])))
            .collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().ok())
            .collect::<Result<Vec<_>>>()
    })?;
    let _sandbox = Sandbox::adopt(testbed, "bob", "race")?;
    let won = outcomes.iter().filter(|outcome| outcome.ok()).count();
    ensure!(won == 1 && outcomes.len() == 8, "{won} won: {outcomes:#?}");
    for lost in outcomes.iter().filter(|outcome| !outcome.ok()) {
        ensure!([4, 7].contains(&lost.code()), "{}", lost.text());
    }
    Ok(())
}

#[test]
fn others_sandboxes_and_none_answer_the_same() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "alice", "private", "claude-key", &[])?;
    for verb in [&["status"][..], &["stop"], &["start"], &["down"], &["exec"]] {
        let call = |name: &str| {
            let mut arguments = verb.to_vec();
            arguments.push(name);
            if verb[0] == "exec" {
                arguments.extend(["--", "true"]);
            }
            ctl(testbed, "bob", &arguments)
        };
        let (theirs, none) = (call("private")?, call("absent0")?);
        ensure!(
            theirs.code() == 3 && none.code() == 3,
            "{verb:?}: {}",
            theirs.text()
        );
        ensure!(
            theirs.text().replace("private", "absent0") == none.text(),
            "{}{}",
            theirs.text(),
            none.text()
        );
    }
    ensure!(!ctl(testbed, "bob", &["ps"])?.text().contains("private"));
    for user in ["mallory", "nobody"] {
        for arguments in [
            &["ps"][..],
            &["up", "m", "-t", "claude"],
            &["exec", "private", "--", "true"],
            &["claude", "token", "status"],
        ] {
            let outcome = ctl(testbed, user, arguments)?;
            ensure!(
                outcome.code() == 5 && outcome.stderr.contains("hint:"),
                "{user}: {}",
                outcome.text()
            );
        }
    }
    Ok(())
}
