//! Sessions on a terminal: `shell`, `exec -t` and what runs there.

use anyhow::{Result, ensure};
use forage_tests::terminal::Screen;
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, beside_others, ctl};

/// Opens a shell in a sandbox.
pub(crate) fn shell(testbed: &Testbed, user: &str, arguments: &[&str]) -> Result<Screen> {
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

/// Runs a command on a terminal to its end; gives its status and everything it showed.
fn exec(testbed: &Testbed, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let argv: Vec<&str> = ["forage-ctl", "exec"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let mut screen = Screen::run(testbed, "bob", &argv)?;
    let status = screen.wait()?.code();
    ensure!(screen.modes()? == screen.before);
    Ok((status, screen.all.clone()))
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
    let size = screen.sh("stty size; echo $TERM")?;
    ensure!(size == "24 80\nxterm-256color", "{size}");
    ensure!(screen.sh("command -v claude")? == "/run/forage/bin/claude");
    screen.type_in(
        "sh -c 'trap \"stty size; exit\" WINCH; echo wa''iting; while sleep 0.02; do :; done'\r",
    )?;
    screen.until("waiting\r\n")?;
    screen.resize(40, 100)?;
    screen.until("40 100\r\n")?;
    screen.type_in("exit 7\r")?;
    ensure!(screen.wait()?.code() == Some(7));
    ensure!(screen.modes()? == screen.before);
    Ok(())
}

#[test]
fn keys_control_jobs() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "term-jobs", "claude-key", &[])?;
    let mut screen = shell(testbed, "bob", &["term-jobs"])?;
    let begin = "sh -c 'echo be''gun; exec sleep 1000'\r";
    screen.type_in(begin)?;
    screen.until("begun\r\n")?;
    screen.type_in("\x03")?;
    screen.until("ready% ")?;
    ensure!(screen.sh("echo $?")? == "130");
    // It says when it goes on: only then is it in the foreground again. It starts nothing itself: a
    // shell that is stopped between vfork and exec is not seen to stop.
    screen.type_in(
        "perl -e '$| = 1; $SIG{CONT} = sub { print qq(contin), qq(ued\\n) }; \
         print qq(be), qq(gun\\n); sleep 1 while 1'\r",
    )?;
    screen.until("begun\r\n")?;
    screen.type_in("\x1a")?;
    screen.until("Stopped")?;
    screen.until("ready% ")?;
    ensure!(screen.sh("jobs | wc -l")? == "1");
    screen.type_in("fg\r")?;
    screen.until("continued\r\n")?;
    screen.type_in("\x03")?;
    screen.until("ready% ")?;
    ensure!(screen.sh("jobs | wc -l")? == "0");
    screen.type_in("\x04")?;
    ensure!(screen.wait()?.success());
    Ok(())
}

#[test]
fn commands_on_a_terminal() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "term-exec", "claude-key", &[])?;
    for (script, status) in [
        ("exit 9", 9),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let (code, shown) = exec(testbed, &["-it", "term-exec", "--", "sh", "-c", script])?;
        ensure!(code == Some(status), "{script}: {code:?} {shown}");
    }
    let (code, shown) = exec(testbed, &["-t", "term-exec", "--", "no-such-command"])?;
    ensure!(code == Some(127) && shown.contains("no command"), "{shown}");
    // Nothing written before the end is lost, however fast the end comes.
    for _ in 0..5 {
        let (code, shown) = exec(testbed, &["-t", "term-exec", "--", "seq", "30000"])?;
        let lines = shown.lines().count();
        ensure!(code == Some(0) && lines == 30_000, "{lines} lines");
    }
    // A terminal nobody inside knows is taken for a usual one.
    let mut command = testbed.command(
        "bob",
        &[
            "forage-ctl",
            "exec",
            "-t",
            "term-exec",
            "--",
            "sh",
            "-c",
            "echo $TERM $COLORTERM",
        ],
    );
    command.envs([("TERM", "xterm-unheard-of"), ("COLORTERM", "truecolor")]);
    let mut screen = Screen::start(command, (24, 80))?;
    screen.until("xterm-256color truecolor")?;
    ensure!(screen.wait()?.success());
    // Without a terminal there is none to pass on.
    for arguments in [
        &["shell", "term-exec"][..],
        &["attach", "term-exec"],
        &["agent", "term-exec"],
        &["exec", "-t", "term-exec", "--", "true"],
    ] {
        let outcome = ctl(testbed, "bob", arguments)?;
        ensure!(
            outcome.code() == 2 && outcome.stderr.contains("is not a terminal"),
            "{arguments:?}: {}",
            outcome.text()
        );
    }
    Ok(())
}

#[test]
fn root_of_the_sandbox_is_confined_like_process_1() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let sandbox = Sandbox::up(testbed, "bob", "term-root", "claude-key", &[])?;
    let confined = "grep -E '^(CapBnd|NoNewPrivs|Seccomp|Seccomp_filters):'";
    let mut screen = shell(testbed, "bob", &["term-root", "-u", "root"])?;
    let own = screen.sh(&format!("{confined} /proc/self/status"))?;
    ensure!(
        own == screen.sh(&format!("{confined} /proc/1/status"))?,
        "{own}"
    );
    ensure!(
        own.contains("NoNewPrivs:\t1") && own.contains("Seccomp:\t2"),
        "{own}"
    );
    ensure!(screen.sh("cat /proc/self/uid_map | wc -l; id -u; pwd")? == "1\n0\n/root");
    ensure!(screen.sh("env | grep -c -e ANTHROPIC -e CLAUDE_CODE")? == "0");
    // It owns what its terminal is, and nothing of the host's.
    ensure!(screen.sh("stat -c %U $(tty)")? == "root");
    screen.type_in("exit\r")?;
    screen.wait()?;
    let run = |user: &str, command: &[&str]| {
        let mut arguments = vec!["exec", "-u", user, "term-root", "--"];
        arguments.extend(command);
        ctl(testbed, "bob", &arguments)
    };
    ensure!(run("root", &["id", "-u"])?.stdout == "0\n");
    ensure!(run("agent", &["id", "-un"])?.stdout == "agent\n");
    // Its standard streams can be opened again, as the agent's can.
    ensure!(run("root", &["sh", "-c", "echo x >/dev/stdout"])?.stdout == "x\n");
    let other = run("nobody", &["true"])?;
    ensure!(
        other.code() == 2 && other.stderr.contains("root"),
        "{}",
        other.text()
    );
    // What root may not do in there: the same as process 1.
    let probe = "for (165, 169, 246, 321) { $! = 0; syscall($_, -1, 0, 0, 0, 0); print $!+0, ' ' }";
    let refused = run("root", &["perl", "-e", probe])?.stdout;
    let service = sandbox.as_service("root", &["perl", "-e", probe])?.stdout;
    ensure!(!service.is_empty());
    ensure!(refused == service, "exec: {refused}, a service: {service}");
    Ok(())
}

#[test]
fn the_outer_terminal_is_out_of_reach() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "term-reach", "claude-key", &[])?;
    for arguments in [&["term-reach"][..], &["term-reach", "-u", "root"]] {
        let mut screen = shell(testbed, "bob", arguments)?;
        // Every descriptor is of a file system of the sandbox's own.
        let open = screen.sh("for f in /proc/$$/fd/*; do stat -Lfc %T $f; done | sort -u")?;
        ensure!(open == "devpts", "{open}");
        let same = screen.sh("for f in 0 1 2; do stat -Lc %d /proc/$$/fd/$f; done | sort -u; stat -c %d /dev/pts/ptmx")?;
        let numbers: Vec<&str> = same.lines().collect();
        ensure!(numbers.len() == 2 && numbers[0] == numbers[1], "{same}");
        // Keys put into the terminal (TIOCSTI) and the console (TIOCLINUX) from inside.
        let push = "perl -e 'ioctl(STDIN, 0x5412, $_) for split //, \"echo pu\".\"shed\\n\"; \
                    my $a = \"\\x03\"; ioctl(STDIN, 0x541c, $a); print \"do\".\"ne\\n\"'";
        screen.type_in(&format!("{push}\r"))?;
        screen.until("done\r\n")?;
        ensure!(
            screen.unread()? == 0,
            "something was typed into the outer terminal"
        );
        screen.type_in("\r\rexit\r")?;
        screen.wait()?;
        ensure!(screen.unread()? == 0);
        ensure!(screen.modes()? == screen.before);
    }
    Ok(())
}

#[test]
fn a_hostile_root_cannot_pass_something_else_for_a_terminal() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _beside = beside_others();
    let _sandbox = Sandbox::up(testbed, "bob", "term-evil", "claude-key", &[])?;
    let root = |line: &str| {
        let arguments = ["exec", "-u", "root", "term-evil", "--", "sh", "-c", line];
        ctl(testbed, "bob", &arguments)
    };
    let cover = "mount -t tmpfs tmpfs /dev/pts && cd /dev/pts && ";
    for trick in [
        "mount --bind /dev/null /dev/pts/ptmx",
        "mount --bind /dev/tty /dev/pts/ptmx",
        &format!("{cover} mkfifo -m 666 ptmx"),
        &format!("{cover} ln -s /dev/ptmx ptmx"),
        &format!("{cover} ln -s /proc/1/fd/0 ptmx"),
        &format!("{cover} touch ptmx && chmod 666 ptmx"),
        &format!("{cover} mkdir ptmx"),
        cover.trim_end_matches(" && "),
    ] {
        let done = root(trick)?;
        ensure!(done.ok(), "{trick}: {}", done.text());
        let mut screen = Screen::run(testbed, "bob", &["forage-ctl", "shell", "term-evil"])?;
        screen.until("cannot make a terminal in the sandbox")?;
        ensure!(screen.wait()?.code() == Some(1), "{trick}");
        ensure!(screen.modes()? == screen.before);
        let undone = root("umount /dev/pts/ptmx 2>/dev/null || umount /dev/pts")?;
        ensure!(undone.ok(), "{trick}: {}", undone.text());
    }
    // A devpts of its own making is as good as the first.
    ensure!(root("mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts")?.ok());
    let mut screen = shell(testbed, "bob", &["term-evil"])?;
    ensure!(screen.sh("tty")? == "/dev/pts/0");
    Ok(())
}
