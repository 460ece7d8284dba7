//! A configuration that is wrong, at the start and after a reload.

use anyhow::{Result, ensure};

use crate::host::BusHost;

const CREATE: &[&str] = &["Create", "ssa{sv}", "s1", "claude", "0"];
const GOOD: &str = "[templates.claude]\nroot = \"/srv/claude\"\n";

#[test]
fn with_a_bad_file_the_daemon_lists_but_does_not_start() -> Result<()> {
    for bad in [
        "colour = \"sk-ant-oat01-CANARY\"",
        "user = [",
        "[templates.claude]\nroot = 7",
    ] {
        let host = BusHost::start(bad)?;
        let list = host.call("alice", "Manager", &["List", "a{sv}", "0"])?;
        ensure!(list.ok(), "{}", list.text());
        let create = host.call("alice", "Manager", CREATE)?;
        ensure!(
            !create.ok() && create.stderr.contains("config.toml"),
            "{}",
            create.text()
        );
        ensure!(!create.stderr.contains("CANARY") && !host.log().contains("CANARY"));
    }
    Ok(())
}

#[test]
fn a_file_others_can_write_is_refused() -> Result<()> {
    for change in [
        "chmod 0666 F",
        "chown alice F",
        "rm F; mkfifo F",
        "rm F; mkdir F",
        "rm F",
        "head -c 10000000 /dev/zero > F",
    ] {
        let mut host = BusHost::without_daemon(GOOD)?;
        host.sh(
            "root",
            &change.replace('F', "/etc/firefly-forage/config.toml"),
        )?;
        host.start_daemon()?;
        let create = host.call("alice", "Manager", CREATE)?;
        ensure!(
            !create.ok() && create.stderr.contains("config.toml"),
            "{change}: {}",
            create.text()
        );
    }
    Ok(())
}

#[test]
fn a_symlink_to_a_good_file_is_followed() -> Result<()> {
    let mut host = BusHost::without_daemon(GOOD)?;
    host.sh(
        "root",
        "cd /etc/firefly-forage; mv config.toml /etc/real.toml; ln -s /etc/real.toml config.toml",
    )?;
    host.start_daemon()?;
    let templates = host.call("alice", "Manager", &["Templates"])?;
    ensure!(templates.stdout.contains("claude"), "{}", templates.text());
    Ok(())
}

#[test]
fn a_reload_takes_a_good_file_and_refuses_a_bad_one() -> Result<()> {
    let host = BusHost::start(GOOD)?;
    let file = "/etc/firefly-forage/config.toml";
    let templates = || host.call("alice", "Manager", &["Templates"]);
    host.sh(
        "root",
        &format!(
            "printf '[templates.other]\\nroot = \"/srv/x\"\\n' >> {file}; pkill -HUP -x foraged"
        ),
    )?;
    host.wait_for("READY=1")?;
    ensure!(
        templates()?.stdout.contains("other"),
        "the file was not read again"
    );
    host.sh(
        "root",
        &format!("echo colour = 1 >> {file}; pkill -HUP -x foraged"),
    )?;
    host.wait_for("READY=1")?;
    ensure!(
        templates()?.stdout.contains("other"),
        "the old configuration is gone"
    );
    let create = host.call("alice", "Manager", CREATE)?;
    ensure!(
        !create.ok() && create.stderr.contains("config.toml"),
        "{}",
        create.text()
    );
    Ok(())
}

#[test]
fn check_config_judges_content_only() -> Result<()> {
    let host = BusHost::shared()?;
    let program = host.path("foraged");
    let program = program.to_str().unwrap_or_default();
    host.sh("alice", &format!("printf 'user = \"alice\"\\n' > /tmp/forage-good.$$; {program} check-config /tmp/forage-good.$$; c=$?; rm /tmp/forage-good.$$; exit $c"))?;
    let bad = host.run(
        "alice",
        &[
            "sh",
            "-c",
            &format!("printf 'colour = 1\\n' | {program} check-config /dev/stdin"),
        ],
    )?;
    ensure!(!bad.ok(), "{}", bad.text());
    Ok(())
}
