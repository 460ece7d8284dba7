//! Whichever way an agent is started, it finds the one credential it was given.

use anyhow::{Result, ensure};
use forage_api::provider::Vendor;
use forage_tests::terminal::Screen;
use forage_tests::testbed::Testbed;

use super::{USER, store_token};
use crate::support::{Sandbox, beside_others, ctl, token};

/// What leads Claude Code to its file.
const POINTER: &str = "CLAUDE_SECURESTORAGE_CONFIG_DIR=/run/secrets/claude-credentials";

/// An environment has what it should, and nothing stray.
fn is_clean(way: &str, environment: &str) -> Result<()> {
    let has = |line: &str| environment.lines().any(|found| found == line);
    ensure!(!environment.contains("stray"), "{way}: {environment}");
    ensure!(has(POINTER), "{way}: {environment}");
    ensure!(!environment.contains("OAUTH_TOKEN"), "{way}: {environment}");
    ensure!(has("GREETING=it's $HOME"), "{way}: {environment}");
    Ok(())
}

#[test]
fn stray_variables_get_through_nowhere() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    store_token(testbed, &token('w'))?;
    let sandbox = Sandbox::up(testbed, USER, "ways", "ways", &[])?;
    let strays: Vec<String> = Vendor::Anthropic
        .variables()
        .iter()
        .map(|name| format!("{name}=stray"))
        .collect();

    // Given to a command, and to an agent's wrapper.
    for program in ["/usr/bin/env", "env"] {
        let mut arguments = vec!["exec", "ways"];
        arguments.extend(strays.iter().flat_map(|stray| ["-e", stray]));
        arguments.extend(["--", program]);
        let seen = ctl(testbed, USER, &arguments)?;
        ensure!(seen.ok(), "{}", seen.text());
        is_clean(program, &seen.stdout)?;
    }
    // Set by a shell, a login shell's profile, tmux, or the sandbox's own systemd.
    let exports = format!("export {}; exec /run/forage/bin/env", strays.join(" "));
    is_clean("a shell", &sandbox.sh(&exports)?)?;
    let service = sandbox.as_service("agent", &["bash", "-lc", &exports])?;
    ensure!(service.ok(), "{}", service.text());
    is_clean("a service", &service.stdout)?;
    let given: String = strays.iter().map(|stray| format!(" -e {stray}")).collect();
    let window = format!(
        "mkfifo /tmp/seen && tmux new-session -d{given} '/run/forage/bin/env >/tmp/seen' && \
         cat /tmp/seen"
    );
    is_clean("tmux", &sandbox.sh(&window)?)?;
    // What the template sets gives way to what a command is given, and is not root's.
    let given = ctl(
        testbed,
        USER,
        &["exec", "-e", "GREETING=hi", "ways", "--", "env"],
    )?;
    ensure!(given.stdout.contains("GREETING=hi\n"), "{}", given.text());
    let root = ctl(
        testbed,
        USER,
        &["exec", "-u", "root", "ways", "--", "printenv"],
    )?;
    ensure!(
        root.ok() && !root.stdout.contains("GREETING") && !root.stdout.contains("SECURESTORAGE"),
        "{}",
        root.text()
    );
    let login = sandbox.as_service("agent", &["bash", "-lc", "echo $GREETING; command -v env"])?;
    ensure!(
        login.stdout == "it's $HOME\n/run/forage/bin/env\n",
        "{login:?}"
    );
    // The real client.
    let status = sandbox.exec_ok(&["claude", "auth", "status"])?;
    ensure!(status.contains("\"claude.ai\""), "{status}");
    let modes = sandbox.sh(
        "cd /run/secrets/claude-credentials; stat -c '%a %U' . .credentials.json; \
         touch x 2>/dev/null || echo read-only; ls -A; ls /run/secrets",
    )?;
    let expected = "755 nobody\n400 agent\nread-only\n.credentials.json\nclaude-credentials";
    ensure!(modes == expected, "{modes}");
    Ok(())
}

#[test]
fn the_login_wizard_is_not_shown() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "wizard", "claude-key-file", &[])?;
    let argv = ["forage-ctl", "exec", "-t", "wizard", "--", "claude"];
    let mut screen = Screen::run(testbed, "bob", &argv)?;
    // It asks whether it may work on the workspace: behind the wizard.
    screen.until("trust")?;
    for word in ["theme", "Select login", "Welcome"] {
        ensure!(!screen.all.contains(word), "{word}: {}", screen.all);
    }
    screen.type_in("\x1b")?;
    screen.wait()?;
    // What the agent wrote since is left alone.
    let written =
        sandbox.sh("cd; echo '{}' >.claude.json; claude --version >&2; cat .claude.json")?;
    ensure!(written == "{}", "{written}");
    Ok(())
}
