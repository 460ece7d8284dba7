//! Configuration directories of a real owner, in real sandboxes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use forage_tests::testbed::{Testbed, wait_for};
use serde_json::Value;

use crate::support::{Sandbox, Undo, beside_others, ctl, ctl_ok};

/// The one directory of bob's these tests are about.
static BOBS: Mutex<()> = Mutex::new(());

/// Makes bob's directory anew with a line of shell that bob runs in it; it goes with what comes back.
fn directory(testbed: &'static Testbed, line: &str) -> Result<(Undo, MutexGuard<'static, ()>)> {
    let mine = BOBS.lock().unwrap_or_else(PoisonError::into_inner);
    let undo = Undo::new(testbed, "rm -rf /home/bob/config-dir");
    let line = format!(
        "umask 022; mkdir -p ~/config-dir/claude ~/config-dir/live; cd ~/config-dir; {line}"
    );
    testbed.run_ok("bob", &["sh", "-c", &line])?;
    Ok((undo, mine))
}

fn as_root(testbed: &Testbed, sandbox: &Sandbox, line: &str) -> Result<String> {
    ctl_ok(
        testbed,
        "bob",
        &["exec", "-u", "root", &sandbox.name, "--", "sh", "-c", line],
    )
}

/// Looks for the canary in everything the sandbox sees, as its agent and as its root.
fn hunt(testbed: &Testbed, sandbox: &Sandbox) -> Result<()> {
    let line = "find / -path /proc -prune -o -path /sys -prune -o -path /usr -prune -o -type f -size -2000k \
                -exec grep -l -a CANAR[Y] {} + 2>/dev/null; find / -name '*credentials.json*' 2>/dev/null; true";
    let agent = sandbox.sh(line)?;
    ensure!(agent.is_empty(), "the agent sees {agent}");
    let root = as_root(testbed, sandbox, line)?;
    ensure!(root.is_empty(), "root sees {root}");
    Ok(())
}

const FILLED: &str = "cd claude
echo '{}' > settings.json
mkdir -p hooks projects/p cache ../live/commands
printf '#!/bin/sh\n' > hooks/run; chmod +x hooks/run
echo CANARY > .credentials.json; chmod 600 .credentials.json
cp .credentials.json auth.json; cp .credentials.json projects/p/oauth_creds.json
cp .credentials.json .claude.json; cp .credentials.json cache/x
for name in .credentials credentials.bak .env .env.local oauth-keys.env gateway_oauth.json opencode.db; do
  cp .credentials.json $name; cp .credentials.json projects/p/$name
done
mkdir secrets; cp .credentials.json secrets/local.age
echo seen > \"$(printf 'odd\\nname\\377')\"
ln -s /etc/shadow shadow; ln -s ../../.ssh up
mkfifo pipe
ln settings.json linked.json
echo live > ../live/config.toml
cp .credentials.json ../live/auth.json";

#[test]
fn a_copy_of_its_own_without_credentials() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, FILLED)?;
    // Of another user, in the owner's directory; and the owner's, but on another mount.
    testbed.write_file(
        "/home/bob/config-dir/claude/others",
        "alice",
        "0600",
        b"CANARY",
    )?;
    let sandbox = Sandbox::up(testbed, "bob", "config1", "config", &[])?;
    let seen = sandbox.sh("cd ~/.claude && find . | LC_ALL=C sort | tr '\\n' ' '")?;
    for name in [
        "./settings.json",
        "./hooks/run",
        "./shadow",
        "./linked.json",
        "./odd",
    ] {
        ensure!(seen.contains(name), "{name} is not in {seen}");
    }
    for name in ["pipe", "others", "cache", "auth"] {
        ensure!(!seen.contains(name), "{name} is in {seen}");
    }
    ensure!(sandbox.sh("stat -c %U:%G ~/.claude ~/.claude/hooks/run | sort -u")? == "agent:agent");
    ensure!(
        sandbox.sh("test -x ~/.claude/hooks/run && readlink ~/.claude/shadow")? == "/etc/shadow"
    );
    hunt(testbed, &sandbox)?;
    // The log tells what was passed by, status where it is.
    let log = ctl_ok(testbed, "bob", &["logs", "config1", "--start"])?;
    ensure!(
        log.contains("copied \"/home/bob/config-dir/claude\"") && log.contains("2 passed by"),
        "{log}"
    );
    let status = sandbox.status()?;
    let mounts = status["mounts"].as_array().cloned().unwrap_or_default();
    let of = |path: &str| {
        mounts
            .iter()
            .find(|mount| mount["path"] == path)
            .cloned()
            .unwrap_or_default()
    };
    ensure!(of("/home/agent/.claude")["what"] == "config", "{mounts:?}");
    ensure!(of("/home/agent/.claude")["source"] == "/home/bob/config-dir/claude");
    ensure!(of("/home/agent/.claude")["writable"] == Value::Bool(true));
    ensure!(of("/home/agent/live")["writable"] == Value::Bool(false));
    // What an agent plants there stays there.
    sandbox.sh(
        "cd ~/.claude && echo evil > hooks/run && echo evil > settings.json && echo evil > new",
    )?;
    let host = testbed.run_ok(
        "bob",
        &[
            "sh",
            "-c",
            "cd ~/config-dir/claude; cat settings.json hooks/run; ls",
        ],
    )?;
    ensure!(!host.contains("evil") && !host.contains("new"), "{host}");
    // Its own home is where the agent looks by itself; Codex is led to its directory.
    ensure!(sandbox.sh("echo ${CLAUDE_CONFIG_DIR-none} $CODEX_HOME")? == "none /home/agent/live");
    // A later start has what is there by then, and nothing of before.
    ctl_ok(testbed, "bob", &["stop", "config1"])?;
    testbed.run_ok(
        "bob",
        &["sh", "-c", "echo later > ~/config-dir/claude/settings.json"],
    )?;
    ctl_ok(testbed, "bob", &["start", "config1"])?;
    ensure!(
        sandbox.sh("cat ~/.claude/settings.json; ls ~/.claude | grep -c new; true")? == "later\n0"
    );
    Ok(())
}

#[test]
fn a_copy_that_follows_and_never_shows_credentials() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, FILLED)?;
    let sandbox = Sandbox::up(testbed, "bob", "config2", "config", &[])?;
    ensure!(sandbox.sh("cat ~/live/config.toml")? == "live");
    for (user, line) in [
        ("agent", "echo x > ~/live/config.toml"),
        ("agent", "touch ~/live/new"),
        ("root", "touch /home/agent/live/new"),
        (
            "root",
            "mount -o remount,bind,rw /home/agent/live && touch /home/agent/live/new",
        ),
    ] {
        let done = ctl(
            testbed,
            "bob",
            &["exec", "-u", user, "config2", "--", "sh", "-c", line],
        )?;
        ensure!(!done.ok(), "{user} could {line}");
    }
    // As Claude Code and editors write; beside it, what is a credential only in the end.
    let line = "cd ~/config-dir/live
for n in 1 2 3 4 5; do
  echo CANARY > .credentials.json.tmp.0000000$n; mv .credentials.json.tmp.0000000$n .credentials.json
  echo CANARY > fresh$n; mv fresh$n auth.json
  rm .credentials.json; echo CANARY > .credentials.json
done
mkdir -p deep/er; echo CANARY > deep/er/auth.json.tmp; mv deep/er/auth.json.tmp deep/er/auth.json
echo 2 > c.tmp; mv c.tmp config.toml; echo deep > deep/er/file";
    testbed.run_ok("bob", &["sh", "-c", line])?;
    let seconds = Duration::from_secs(20);
    wait_for("the change inside", seconds, || {
        let seen = sandbox.sh("cat ~/live/config.toml ~/live/deep/er/file; true")?;
        Ok((seen == "2\ndeep").then_some(()))
    })?;
    hunt(testbed, &sandbox)?;
    Ok(())
}

#[test]
fn who_looks_all_the_time_sees_no_credential() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, FILLED)?;
    let sandbox = Sandbox::up(testbed, "bob", "config6", "config", &[])?;
    let look = "until [ -e ~/live/over ]; do cat ~/live/* ~/live/.[a-z]* ~/live/deep/* 2>/dev/null; done | grep -c -e CANAR[Y]; true";
    // Names as Claude Code and editors use them, and some that say nothing; each ends as a credential.
    let rotate = "cd ~/config-dir/live; mkdir deep
for n in $(seq 300); do
  for d in . deep; do
    echo CANARY > $d/.credentials.json.tmp.$n; mv $d/.credentials.json.tmp.$n $d/.credentials.json
    echo CANARY > $d/fresh$n; mv $d/fresh$n $d/auth.json
    echo CANARY > $d/.env.tmp$n; mv $d/.env.tmp$n $d/.env
  done
  echo $n > seen$((n % 7))
done
touch over";
    let seen = std::thread::scope(|scope| -> Result<String> {
        let looking = scope.spawn(|| sandbox.sh(look));
        let rotated = testbed.run_ok("bob", &["sh", "-c", rotate]);
        let seen = looking.join().map_err(|_| anyhow!("who looks broke off"))?;
        rotated?;
        seen
    })?;
    ensure!(seen == "0", "{seen} lines of a credential were seen");
    let seconds = Duration::from_secs(20);
    wait_for("the last change", seconds, || {
        Ok((sandbox.sh("cat ~/live/seen6; true")? == "300").then_some(()))
    })
}

/// The processes that look after a sandbox's copies.
fn keepers(testbed: &Testbed, sandbox: &Sandbox) -> Result<Vec<String>> {
    let of_it = sandbox.unit();
    let line = format!(
        "for p in $(pgrep -u bob -x forage-shim); do grep -q {of_it} /proc/$p/cgroup && echo $p; done; true"
    );
    let found = testbed.sh("root", &line)?;
    Ok(found.stdout.lines().map(str::to_owned).collect())
}

#[test]
fn the_process_that_follows_has_no_rights_and_ends_with_the_run() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, FILLED)?;
    let sandbox = Sandbox::up(testbed, "bob", "config7", "config", &[])?;
    let [keeper] = &keepers(testbed, &sandbox)?[..] else {
        bail!("not one process: {:?}", keepers(testbed, &sandbox)?);
    };
    let status = testbed.run_ok("root", &["cat", &format!("/proc/{keeper}/status")])?;
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        ensure!(status.contains(line), "{line}: {status}");
    }
    for file in ["mem", "environ", "maps"] {
        let read = testbed.run("bob", &["head", "-c1", &format!("/proc/{keeper}/{file}")])?;
        ensure!(!read.ok(), "bob reads {file}");
    }
    // Its owner can end it, and nothing else than the following ends.
    testbed.run_ok("bob", &["kill", "-KILL", keeper])?;
    let seconds = Duration::from_secs(20);
    wait_for("the log to say so", seconds, || {
        let log = ctl_ok(testbed, "bob", &["logs", "config7", "--start"])?;
        Ok(log
            .contains("are no longer seen until the next start")
            .then_some(()))
    })?;
    ensure!(sandbox.sh("cat ~/live/config.toml")? == "live");
    ctl_ok(testbed, "bob", &["stop", "config7"])?;
    ctl_ok(testbed, "bob", &["start", "config7"])?;
    ensure!(keepers(testbed, &sandbox)?.len() == 1);
    // However the run ends, nothing is left of it.
    testbed.kill_unit(&sandbox.unit())?;
    wait_for("the end of the run", seconds, || {
        Ok((sandbox.field("state")? == "failed").then_some(()))
    })?;
    ensure!(
        keepers(testbed, &sandbox)?.is_empty(),
        "{:?}",
        keepers(testbed, &sandbox)?
    );
    let left = testbed.sh(
        "root",
        &format!(
            "ls /run/firefly-forage/pin; grep {} /proc/mounts; true",
            sandbox.id
        ),
    )?;
    ensure!(!left.stdout.contains(&sandbox.id), "{}", left.stdout);
    Ok(())
}

#[test]
fn hostile_directories_are_refused() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, "")?;
    for (line, expected) in [
        ("ln -s /etc claude", "overlaps /etc/firefly-forage"),
        ("ln -s /usr/share claude", "belongs to another user"),
        ("ln -s /root claude", "belongs to another user"),
        ("ln -s /root/.ssh claude", "may not enter"),
        ("ln -s /home/alice/private claude", "may not enter"),
        ("ln -s /proc/1/root claude", "may not enter"),
        ("ln -s /proc/self/fd claude", "window into the kernel"),
        ("ln -s claude claude", "too many links"),
        ("mkfifo claude", "not a directory"),
        ("touch claude", "not a directory"),
        ("mkdir -m 0 claude", "may not read"),
        (
            "mkdir claude; truncate -s 1T claude/sparse",
            "holds more than 16 MiB",
        ),
        (
            "mkdir claude; seq 100001 | xargs -n 5000 sh -c 'cd claude; touch \"$@\"' sh",
            "more than 100000",
        ),
    ] {
        testbed.run_ok(
            "bob",
            &[
                "sh",
                "-c",
                &format!("cd ~/config-dir; rm -rf claude; {line}"),
            ],
        )?;
        let up = ctl(testbed, "bob", &["up", "config3", "-t", "config"])?;
        ensure!(up.code() == 1, "{line}: {}", up.text());
        ensure!(
            up.stderr.contains(expected) && up.stderr.contains("hint:"),
            "{line}: {}",
            up.text()
        );
        let status = ctl(testbed, "bob", &["status", "config3"])?;
        ensure!(
            status.code() == 3,
            "{line} left a sandbox: {}",
            status.text()
        );
    }
    Ok(())
}

#[test]
fn without_a_directory_the_start_goes_on() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, "rmdir claude live")?;
    let sandbox = Sandbox::up(testbed, "bob", "config4", "config", &[])?;
    ensure!(
        sandbox
            .sh("ls -A ~/.claude ~/live | grep -c . ; touch ~/.claude/x && echo written")?
            .ends_with("written")
    );
    let log = ctl_ok(testbed, "bob", &["logs", "config4", "--start"])?;
    ensure!(
        log.contains("there is no \"/home/bob/config-dir/claude\""),
        "{log}"
    );
    Ok(())
}

#[test]
fn in_a_system_of_the_store() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _mine = directory(testbed, FILLED)?;
    let sandbox = Sandbox::up(testbed, "bob", "config5", "config-store", &[])?;
    let seen = sandbox.sh("stat -c %u:%g ~ ~/claude ~/claude/hooks; echo $CLAUDE_CONFIG_DIR; touch ~/mine ~/claude/mine")?;
    ensure!(
        seen == "1000:1000\n1000:1000\n1000:1000\n/home/agent/claude",
        "{seen}"
    );
    let auth = sandbox.exec(&["claude", "auth", "status"])?;
    ensure!(
        auth.stdout.contains("\"loggedIn\": true"),
        "{}",
        auth.text()
    );
    hunt(testbed, &sandbox)
}
