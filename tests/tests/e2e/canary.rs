//! Hunts a canary token along every path a secret takes.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{DAEMON, SECRET, Sandbox, SecretFile, alone, ctl, ctl_ok, daemon, store};

/// Watches every process's command line as `nobody`, who may read them all.
const WATCH_ARGV: &str = "while [ ! -e /tmp/canary-stop ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -a CANAR[Y] ; done";

#[test]
fn a_canary_is_seen_nowhere() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let canary = format!("sk-ant-oat01-CANARY{}", "x".repeat(89));
    let key = "sk-ant-api03-CANARY-in-a-secret-file";
    let _file = SecretFile::borrow(testbed)?;
    let cursor = testbed.journal_cursor()?;
    testbed.sh("root", "rm -f /tmp/canary-stop /tmp/canary-bus")?;
    let mut monitor = testbed
        .command("root", &["busctl", "monitor", "--system", "--json=short"])
        .stdin(std::process::Stdio::null())
        .stdout(std::fs::File::create(
            std::env::temp_dir().join("forage-canary-bus"),
        )?)
        .spawn()?;
    let argv = std::thread::scope(|scope| -> Result<String> {
        let watcher = scope.spawn(|| testbed.sh("nobody", WATCH_ARGV));
        let worked = (|| -> Result<()> {
            testbed.write_file(SECRET, "root", "0400", key.as_bytes())?;
            ensure!(store(testbed, "alice", &canary)?.ok());
            let one = Sandbox::up(testbed, "alice", "canary1", "claude", &["-v"])?;
            let two = Sandbox::up(testbed, "alice", "canary2", "claude-key", &["-v"])?;
            ensure!(
                one.exec_ok(&[
                    "sh",
                    "-c",
                    "printenv CLAUDE_CODE_OAUTH_TOKEN | grep -c CANA[R]Y"
                ])? == "1"
            );
            ensure!(
                two.exec_ok(&["claude", "auth", "status"])?
                    .contains("\"api_key\"")
            );
            one.exec(&["claude", "auth", "status"])?;
            ensure!(store(testbed, "alice", &canary)?.ok());
            let three = logged_in_on_the_host(testbed)?;
            hunt(testbed, &one)?;
            hunt(testbed, &two)?;
            hunt(testbed, &three)?;
            for verb in [
                &["auth", "check", "canary3"][..],
                &["auth", "revoke", "canary3"],
            ] {
                ensure!(!ctl(testbed, "erin", verb)?.text().contains("CANARY"));
            }
            testbed.run_ok("root", &["rm", "-rf", "/home/erin/.claude"])?;
            // This machine's kernel writes cores where nothing forbids it.
            for unit in [two.unit().as_str(), DAEMON] {
                testbed.kill(testbed.main_pid(unit)?, "ABRT")?;
            }
            daemon(testbed, "start")?;
            ctl_ok(testbed, "alice", &["claude", "token", "status"])?;
            ctl_ok(testbed, "alice", &["claude", "token", "remove"])?;
            Ok(())
        })();
        testbed.run_ok("root", &["touch", "/tmp/canary-stop"])?;
        let seen = watcher
            .join()
            .map_err(|_| anyhow::anyhow!("the watcher broke off"))??;
        worked?;
        Ok(seen.stdout)
    })?;
    monitor.kill()?;
    monitor.wait()?;
    ensure!(argv.trim().is_empty(), "in a command line: {argv}");
    let bus = std::fs::read_to_string(std::env::temp_dir().join("forage-canary-bus"))?;
    std::fs::remove_file(std::env::temp_dir().join("forage-canary-bus"))?;
    ensure!(
        bus.contains("org.firefly.Forage1"),
        "the bus was not watched"
    );
    ensure!(!bus.contains("CANARY"), "on the bus");
    let journal = testbed.journal(&[&format!("--after-cursor={cursor}")])?;
    ensure!(!journal.is_empty());
    for entry in journal {
        ensure!(
            !entry.to_string().contains("CANARY"),
            "in the journal: {entry}"
        );
    }
    let dumps = testbed.sh(
        "root",
        "grep -r -l CANAR[Y] /var/lib/systemd/coredump /var/crash /core* 2>/dev/null",
    )?;
    ensure!(dumps.stdout.is_empty(), "in a core dump: {}", dumps.stdout);
    Ok(())
}

/// A sandbox of somebody who is logged in on the host, and what goes with that.
fn logged_in_on_the_host(testbed: &'static Testbed) -> Result<Sandbox> {
    let token = format!("sk-ant-oat01-CANARY-login-{}", "y".repeat(80));
    let content = format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{token}","refreshToken":"sk-ant-ort01-CANARY","expiresAt":EXPIRES,"scopes":["user:inference"]}}}}"#
    );
    testbed.run_ok("erin", &["mkdir", "-p", "/home/erin/.claude"])?;
    let file = "/home/erin/.claude/.credentials.json";
    testbed.write_file(file, "erin", "0600", content.as_bytes())?;
    let dated = format!("sed -i s/EXPIRES/$(date -d '+8 hours' +%s000)/ {file}");
    testbed.run_ok("erin", &["sh", "-c", &dated])?;
    let sandbox = Sandbox::up(testbed, "erin", "canary3", "claude", &["-v"])?;
    let there = "printenv CLAUDE_CODE_OAUTH_TOKEN | grep -c CANA[R]Y-login";
    ensure!(sandbox.sh(there)? == "1");
    ctl_ok(testbed, "erin", &["auth", "refresh", "canary3", "-v"])?;
    Ok(sandbox)
}

/// Looks while the sandbox runs.
fn hunt(testbed: &Testbed, sandbox: &Sandbox) -> Result<()> {
    let machine = format!("forage-{}", sandbox.id);
    // As nobody: units, machines, transient files, everything on the daemon's bus object.
    let looks = [
        format!("systemctl show --all {}", sandbox.unit()),
        "systemctl show --all firefly-forage.service".to_owned(),
        "systemctl show-environment".to_owned(),
        format!("systemctl status --no-pager {}", sandbox.unit()),
        format!("machinectl status --no-pager {machine}"),
        "cat /run/systemd/transient/* /run/systemd/units/* /run/systemd/machines/*".to_owned(),
        "cat /proc/[0-9]*/environ".to_owned(),
        "find / -xdev -type f -readable -newer /etc/machine-id -size -1000k -not -path '/proc/*' -not -path '/sys/*' -exec grep -l CANAR[Y] {} +".to_owned(),
        "find /run /tmp /var /home -type f -readable -exec grep -l CANAR[Y] {} +".to_owned(),
    ];
    for user in ["nobody", "bob"] {
        for look in &looks {
            let seen = testbed.sh(user, &format!("({look}) 2>/dev/null | tr '\\0' '\\n' | grep -a -e CANAR[Y] -e '^/' | head -n 3"))?;
            let lines: Vec<&str> = seen
                .stdout
                .lines()
                .filter(|line| line.contains("CANARY") || look.starts_with("find"))
                .collect();
            ensure!(lines.is_empty(), "{user} sees it with {look}: {lines:?}");
        }
    }
    // As root: no process of the host carries it in its environment or arguments, no record, no
    // report and no unit file has it.
    let own = testbed.sh("root", "for p in /proc/[0-9]*; do [ \"$(readlink $p/ns/user)\" = \"$(readlink /proc/1/ns/user)\" ] && cat $p/environ $p/cmdline 2>/dev/null; done | tr '\\0' '\\n' | grep -a CANAR[Y]")?;
    ensure!(
        own.stdout.is_empty(),
        "in a process of the host: {}",
        own.stdout
    );
    let files = testbed.sh("root", &format!("test -s /var/lib/firefly-forage/logs/{} || echo no log; grep -r -l CANAR[Y] /var/lib/firefly-forage/sandboxes /var/lib/firefly-forage/logs /run/firefly-forage/result /run/systemd /etc/systemd /run/log /var/log 2>/dev/null", sandbox.id))?;
    ensure!(files.stdout.is_empty(), "in {}", files.stdout);
    // What may have it does, and is nobody else's.
    let modes = testbed.run_ok("root", &["sh", "-c", &format!("stat -c '%a' /run/firefly-forage/secrets/{0}/*; stat -c '%a' /run/firefly-forage/secrets", sandbox.id)])?;
    ensure!(
        modes.lines().all(|mode| ["400", "700"].contains(&mode)),
        "{modes}"
    );
    let mount = testbed.run_ok(
        "root",
        &[
            "findmnt",
            "-n",
            "-o",
            "OPTIONS",
            "/run/firefly-forage/secrets",
        ],
    )?;
    for option in ["nosuid", "nodev", "noexec", "noswap"] {
        ensure!(mount.contains(option), "{mount}");
    }
    Ok(())
}
