//! The tmux session of a sandbox: `attach` and `agent`.

use std::time::Duration;

use anyhow::{Result, ensure};
use forage_tests::terminal::Screen;
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, alone, beside_others, ctl, ctl_ok, daemon};

fn attach(testbed: &Testbed, name: &str) -> Result<Screen> {
    let mut screen = Screen::run(testbed, "bob", &["forage-ctl", "attach", name])?;
    screen.until("[forage]")?;
    Ok(screen)
}

#[test]
fn the_session_stays_when_its_terminal_goes() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "tmux-stay", "claude-key", &[])?;
    let mut screen = attach(testbed, "tmux-stay")?;
    screen.type_in("echo i''n $TMUX_PANE; command -v claude; cat > ~/typed\r")?;
    screen.until("in %")?;
    screen.until("/run/forage/bin/claude")?;
    testbed.run_ok(
        "root",
        &["pkill", "-KILL", "-x", "-f", "forage-ctl attach tmux-stay"],
    )?;
    screen.wait()?;
    daemon(testbed, "restart")?;
    // Two at a time show the same.
    let mut first = attach(testbed, "tmux-stay")?;
    let mut second = attach(testbed, "tmux-stay")?;
    first.type_in("from the first\r")?;
    second.until("from the first")?;
    second.type_in("\x04")?;
    ensure!(
        wait_for("what was typed", Duration::from_secs(20), || {
            let typed = sandbox.sh("cat ~/typed")?;
            Ok((!typed.is_empty()).then_some(typed))
        })? == "from the first"
    );
    // Ctrl-b d leaves it.
    first.type_in("\x02d")?;
    first.until("[detached (from session forage)]")?;
    ensure!(first.wait()?.success() && first.modes()? == first.before);
    ensure!(sandbox.sh("tmux list-clients | wc -l")? == "1");
    drop(second);
    // The credential came by no variable: tmux outlives it.
    let server = sandbox.sh("tr '\\0' '\\n' < /proc/$(pgrep -o -f '^tmux')/environ")?;
    ensure!(server.contains("PATH=/run/forage/bin:"), "{server}");
    let secret = sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])?;
    ensure!(
        !server.contains(&secret) && !server.contains("ANTHROPIC"),
        "{server}"
    );
    Ok(())
}

#[test]
fn agents_get_a_window() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "tmux-agent", "claude-key", &[])?;
    let windows = "tmux list-windows -t =forage -F '#{window_name} #{@forage-agent}'";
    let again = ctl(testbed, "bob", &["agent", "tmux-agent", "--detach"])?;
    ensure!(again.ok() && again.stderr.is_empty(), "{}", again.text());
    ensure!(
        again.stdout == "claude was started in tmux-agent; forage-ctl attach tmux-agent shows it\n",
        "{}",
        again.text()
    );
    ensure!(sandbox.sh(windows)? == "claude claude");
    // The real client, with the credential of this moment.
    let key = sandbox.exec_ok(&["cat", "/run/secrets/anthropic"])?;
    let given = wait_for("the agent", Duration::from_secs(20), || {
        let line = "tr '\\0' '\\n' < /proc/$(tmux display-message -p -t =forage:claude '#{pane_pid}')/environ";
        let environment = sandbox.sh(line)?;
        Ok(environment
            .contains("ANTHROPIC_API_KEY=")
            .then_some(environment))
    })?;
    ensure!(given.contains(&format!("ANTHROPIC_API_KEY={key}")));
    let again = ctl(testbed, "bob", &["agent", "tmux-agent", "claude", "-d"])?;
    ensure!(
        again.ok() && again.stderr.contains("runs in tmux-agent already"),
        "{}",
        again.text()
    );
    ensure!(sandbox.sh(windows)? == "claude claude");
    let mut screen = attach(testbed, "tmux-agent")?;
    screen.until("claude")?;
    drop(screen);
    // One that fails is there to be read, and is started again in its place.
    sandbox.sh("tmux kill-window -t =forage:claude")?;
    for option in ["--no-such-option;", "--nor-this"] {
        let arguments = ["agent", "tmux-agent", "-d", "--", option];
        ctl_ok(testbed, "bob", &arguments)?;
        wait_for("the end of the agent", Duration::from_secs(20), || {
            Ok((sandbox.sh(windows)? == "claude: exit 1 claude").then_some(()))
        })?;
        let shown = sandbox.sh("tmux capture-pane -p -t =forage:")?;
        ensure!(shown.contains(&format!("'{option}'")), "{shown}");
    }
    let unknown = ctl(testbed, "bob", &["agent", "tmux-agent", "claud", "-d"])?;
    ensure!(
        unknown.code() == 3 && unknown.stderr.contains("did you mean claude?"),
        "{}",
        unknown.text()
    );
    Ok(())
}

#[test]
fn without_tmux_or_a_running_sandbox() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "tmux-none", "claude-key", &[])?;
    ctl_ok(
        testbed,
        "bob",
        &[
            "exec",
            "-u",
            "root",
            "tmux-none",
            "--",
            "rm",
            "/usr/bin/tmux",
        ],
    )?;
    for verb in ["agent", "attach"] {
        let mut screen = Screen::run(testbed, "bob", &["forage-ctl", verb, "tmux-none"])?;
        screen.until("the sandbox has no tmux")?;
        ensure!(screen.wait()?.code() == Some(1));
    }
    ctl_ok(testbed, "bob", &["stop", "tmux-none"])?;
    for verb in ["agent", "attach", "shell"] {
        let mut screen = Screen::run(testbed, "bob", &["forage-ctl", verb, "tmux-none"])?;
        screen.until("forage-ctl start")?;
        ensure!(screen.wait()?.code() == Some(4));
        ensure!(screen.modes()? == screen.before);
    }
    Ok(())
}
