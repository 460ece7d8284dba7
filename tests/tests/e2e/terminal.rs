//! Sessions on a terminal: `shell`, `exec -t`, and how they end.

use anyhow::{Result, ensure};
use forage_tests::terminal::Screen;
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, beside_others};

/// Opens a shell in a sandbox and gives it a prompt that is easily told apart.
fn shell(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<Screen> {
    let argv: Vec<&str> = ["forage-ctl", "shell"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let mut screen = Screen::run(testbed, user, &argv)?;
    screen.until("@")?;
    screen.greet()?;
    Ok(screen)
}

#[test]
fn a_shell_is_on_a_terminal_of_the_sandbox() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "term-shell", "claude-key", &[])?;
    let mut screen = shell(testbed, "bob", &["term-shell"])?;
    let who = screen.sh("id -un; pwd; echo $0")?;
    ensure!(who == "agent\n/workspace\n-bash", "{who:?}");
    let tty = screen.sh("tty; stat -c '%U %t:%T' $(tty); stat -fc %T $(tty)")?;
    ensure!(
        tty.starts_with("/dev/pts/") && tty.ends_with("devpts"),
        "{tty}"
    );
    ensure!(tty.contains("agent 88:"), "{tty}");
    ensure!(screen.sh("stty size; echo $TERM")? == "24 80\nxterm-256color");
    ensure!(screen.sh("command -v claude")? == "/run/forage/bin/claude");
    screen.type_in("exit 7\r")?;
    ensure!(screen.wait()?.code() == Some(7));
    Ok(())
}
