//! Templates from the Nix store: a real store, and a system of NixOS' shape.

mod garbage;
mod network;
mod places;
mod refusals;

use anyhow::{Context, Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, SecretFile, alone, beside_others, ctl_ok, daemon, store, token};

/// The configuration, put back as it was however the test ends.
struct Config {
    testbed: &'static Testbed,
    original: String,
}

const CONFIG: &str = "/etc/firefly-forage/config.toml";

impl Config {
    fn borrow(testbed: &'static Testbed) -> Result<Self> {
        let original = testbed.run_ok("root", &["cat", CONFIG])?;
        Ok(Self { testbed, original })
    }

    /// Adds a template with these keys.
    fn add(&self, name: &str, keys: &str) -> Result<()> {
        let text = format!("{}\n[templates.{name}]\n{keys}\n", self.original);
        self.write(&text)
    }

    fn write(&self, text: &str) -> Result<()> {
        self.testbed
            .write_file(CONFIG, "root", "0644", text.as_bytes())?;
        daemon(self.testbed, "reload")
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        if let Err(error) = self.write(&self.original) {
            eprintln!("the configuration was not put back: {error:#}");
        }
    }
}

/// The system of the template `store`.
fn system(testbed: &Testbed) -> Result<String> {
    let path = testbed.run_ok("root", &["readlink", "/nix/var/nix/gcroots/testbed"])?;
    Ok(path.trim().to_owned())
}

/// The root a running sandbox has for Nix's garbage collector.
fn gc_root(sandbox: &Sandbox) -> String {
    format!("/nix/var/nix/gcroots/firefly-forage/{}", sandbox.id)
}

#[test]
fn a_system_is_used_like_a_tree() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let first = token('s');
    ensure!(store(testbed, "alice", &first)?.ok());
    testbed.run_ok(
        "alice",
        &["sh", "-c", "mkdir -p ~/nix && echo hello > ~/nix/README"],
    )?;
    let before = testbed.inventory()?;
    let sandbox = Sandbox::up(
        testbed,
        "alice",
        "nix",
        "store",
        &["--repo", "/home/alice/nix"],
    )?;
    ensure!(sandbox.exec_ok(&["systemctl", "is-system-running"])? == "running");
    ensure!(sandbox.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])? == first);
    let status = sandbox.exec_ok(&["claude", "auth", "status"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    ensure!(
        status["loggedIn"] == true && status["authMethod"] == "oauth_token",
        "{status}"
    );
    // The wrapper is what was found first, and it found the system's program.
    let found = sandbox.sh("command -v claude; command -v systemctl; id -u; echo $HOME $SHELL")?;
    ensure!(
        found
            == "/run/forage/bin/claude\n/run/current-system/sw/bin/systemctl\n1000\n\
                /home/agent /bin/bash",
        "{found}"
    );
    let found = sandbox.exec_ok(&["bash", "-lc", "command -v claude"])?;
    ensure!(found == "/run/forage/bin/claude", "{found}");
    ensure!(sandbox.sh("cat README; echo made > by-agent")? == "hello");
    let owner = testbed.run_ok("alice", &["stat", "-c", "%U", "/home/alice/nix/by-agent"])?;
    ensure!(owner.trim() == "alice", "{owner}");
    let second = token('t');
    ensure!(store(testbed, "alice", &second)?.text().contains("nix"));
    ensure!(sandbox.exec_ok(&["cat", "/run/secrets/claude-oauth-token"])? == second);
    sandbox.down()?;
    let left = testbed.inventory()?.since(&before);
    ensure!(left.is_empty(), "left behind:\n{left}");
    Ok(())
}

#[test]
fn the_store_is_seen_and_nothing_else_of_nix() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "seen", "store-key", &[])?;
    let map = sandbox.exec_ok(&["cat", "/proc/self/uid_map"])?;
    let fields: Vec<&str> = map.split_whitespace().collect();
    ensure!(
        fields.len() == 3 && fields[0] == "0" && fields[1] != "0" && fields[2] == "65536",
        "{map}"
    );
    let system = system(testbed)?;
    let owner = sandbox.exec_ok(&["stat", "-c", "%U %F", &system])?;
    ensure!(owner == "root directory", "{owner}");
    // Nix's builders are not root, and neither are they to the sandbox's.
    let building = "/nix/store/being-built";
    let line = format!("install -d -o nixbld1 -g nixbld -m 0700 {building}");
    testbed.run_ok("root", &["sh", "-c", &line])?;
    let mount = sandbox.exec_ok(&["findmnt", "-no", "OPTIONS", "/nix/store"])?;
    for option in ["ro", "nosuid", "nodev", "idmapped"] {
        ensure!(mount.split(',').any(|seen| seen == option), "{mount}");
    }
    ensure!(sandbox.exec_ok(&["ls", "-A", "/nix"])? == "store");
    let root = sandbox.exec_ok(&["findmnt", "-no", "FSTYPE,OPTIONS", "/"])?;
    ensure!(
        root.starts_with("tmpfs") && root.contains("nosuid,nodev") && root.contains("size="),
        "{root}"
    );
    let owner = sandbox.exec_ok(&["stat", "-c", "%U %a", "/", "/usr", "/root", "/tmp"])?;
    ensure!(
        owner == "root 755\nroot 755\nroot 700\nroot 1777",
        "{owner}"
    );
    // The sandbox's own root cannot change the store either.
    let machine = format!("forage-{}", sandbox.id);
    let as_root = |line: &str| {
        let line = format!("systemd-run -M {machine} --wait --pipe --quiet sh -c '{line}'");
        testbed.sh("root", &line)
    };
    ensure!(as_root("test -r /etc/shadow")?.ok());
    ensure!(!as_root(&format!("ls {building}"))?.ok());
    testbed.run_ok("root", &["rmdir", building])?;
    for attempt in [
        format!("touch {system}/mine"),
        format!("chmod u+w {system}"),
        "mount -o remount,rw /nix/store".to_owned(),
        "mount -o remount,bind,rw /nix/store".to_owned(),
        "umount /nix/store".to_owned(),
    ] {
        let tried = as_root(&attempt)?;
        ensure!(!tried.ok(), "{attempt} worked: {}", tried.text());
    }
    let status = sandbox.status()?.to_string();
    ensure!(status.contains("\"/nix/store\""), "{status}");
    Ok(())
}

#[test]
fn a_changed_secret_file_is_seen() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let file = SecretFile::borrow(testbed)?;
    let sandbox = Sandbox::up(testbed, "bob", "turned", "store-key", &[])?;
    let read = ["cat", "/run/secrets/anthropic"];
    ensure!(sandbox.exec_ok(&read)? == file.original.trim_end());
    let cursor = testbed.journal_cursor()?;
    testbed.write_file(crate::support::SECRET, "root", "0400", b"sk-ant-turned\n")?;
    let matches = [format!("FORAGE_ID={}", sandbox.id)];
    let matches: Vec<&str> = matches.iter().map(String::as_str).collect();
    let seconds = std::time::Duration::from_secs(10);
    testbed.journal_until(&cursor, &matches, seconds, |entry| {
        entry["FORAGE_EVENT"] == "credentials"
    })?;
    ensure!(sandbox.exec_ok(&read)? == "sk-ant-turned");
    ensure!(
        sandbox
            .exec_ok(&["claude", "auth", "status"])?
            .contains("\"api_key\"")
    );
    Ok(())
}

#[test]
fn a_stop_is_clean_and_the_root_goes_with_the_run() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "again", "store-key", &[])?;
    let machine = format!("forage-{}", sandbox.id);
    let stop = "--property=ExecStop=\"/bin/sh -c 'echo stopped > /workspace/last-word'\"";
    let started = testbed.sh(
        "root",
        &format!(
            "systemd-run --machine={machine} --quiet --property=User=agent {stop} \
             --property=RemainAfterExit=yes --unit=witness /bin/true"
        ),
    )?;
    ensure!(started.ok(), "{}", started.text());
    sandbox.sh("echo lost > /home/agent/file; echo lost > /tmp/file; echo kept > kept")?;
    let root = gc_root(&sandbox);
    let kept = testbed.run_ok("root", &["readlink", &root])?;
    ensure!(kept.trim() == system(testbed)?, "{kept}");

    let cursor = testbed.journal_cursor()?;
    ctl_ok(testbed, "bob", &["stop", "again"])?;
    ensure!(!testbed.run("root", &["test", "-L", &root])?.ok());
    let (after, id) = (
        format!("--after-cursor={cursor}"),
        format!("FORAGE_ID={}", sandbox.id),
    );
    let entries = testbed.journal(&[&after, &id])?;
    let events: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["FORAGE_EVENT"].as_str())
        .collect();
    ensure!(
        events.contains(&"stopped") && !events.contains(&"killed"),
        "{events:?}"
    );

    ctl_ok(testbed, "bob", &["start", "again"])?;
    let seen = sandbox.sh("cat last-word kept; ls -A /home/agent /tmp | grep -c file || true")?;
    ensure!(seen == "stopped\nkept\n0", "{seen}");
    testbed
        .run_ok("root", &["readlink", &root])
        .context("the second run has no root for Nix")?;
    Ok(())
}
