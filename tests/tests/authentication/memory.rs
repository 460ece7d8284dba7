//! What the memory of our programs holds, and who may look into it.

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::Testbed;

use crate::login::{LOGIN, Login};
use crate::support::{DAEMON, Sandbox, alone, ctl, ctl_ok, daemon, store};

/// Searches the memory of a process for a text, given in hexadecimal, and prints for each place the
/// flags of the mapping it is in.
const SEARCH: &str = r#"
my ($pid, $text) = (shift, join '', map { chr hex } <STDIN> =~ /../g);
open my $maps, '<', "/proc/$pid/smaps" or die "smaps: $!";
open my $memory, '<:raw', "/proc/$pid/mem" or die "mem: $!";
my $found = 0;
while (<$maps>) {
  if (my ($start, $end, $readable) = /^([0-9a-f]+)-([0-9a-f]+) (r?)/) {
    $found = 0;
    next unless $readable;
    next if /\[v(var|var_vclock|syscall)\]/;
    my ($at, $length) = (hex $start, hex($end) - hex $start);
    sysseek $memory, $at, 0 or next;
    my $content = '';
    while (length $content < $length) {
      sysread $memory, $content, $length - length $content, length $content or last;
    }
    $found++ while $content =~ /\Q$text\E/g;
  }
  print $_ x $found if /^VmFlags:/;
}
"#;

/// The flags of the mappings that hold a text, one for each time.
fn found(testbed: &Testbed, pid: u32, text: &str) -> Result<Vec<String>> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let pid = pid.to_string();
    let argv = ["perl", "-e", SEARCH, &pid];
    let outcome = testbed.run_with_input("root", &argv, hex.as_bytes())?;
    ensure!(outcome.ok(), "{}", outcome.text());
    Ok(outcome.stdout.lines().map(str::to_owned).collect())
}

#[test]
fn a_token_is_in_no_memory_once_it_was_handed_on() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let canary = "CANARY-in-memory-0123456789";
    let token = format!("sk-ant-oat01-{canary}{}", "m".repeat(70));
    ensure!(store(testbed, "alice", &token)?.ok());
    let sandbox = Sandbox::up(testbed, "alice", "memory", "claude", &[])?;
    let seen = sandbox.exec_ok(&["printenv", "CLAUDE_CODE_OAUTH_TOKEN"])?;
    ensure!(seen == token, "it did not get there");
    // Rewritten while it runs, told about, read again.
    ensure!(store(testbed, "alice", &token)?.ok());
    ctl_ok(testbed, "alice", &["claude", "token", "status"])?;
    ctl_ok(testbed, "alice", &["stop", "memory"])?;
    ctl_ok(testbed, "alice", &["start", "memory"])?;
    let (daemon, shim) = (
        testbed.main_pid(DAEMON)?,
        testbed.main_pid(&sandbox.unit())?,
    );
    for pid in [daemon, shim] {
        // What is there is found.
        ensure!(!found(testbed, pid, "/run/firefly-forage")?.is_empty());
        let places = found(testbed, pid, canary)?;
        ensure!(places.is_empty(), "in process {pid}: {places:?}");
    }
    ctl_ok(testbed, "alice", &["claude", "token", "remove"])?;
    for pid in [daemon, shim] {
        let places = found(testbed, pid, canary)?;
        ensure!(
            places.is_empty(),
            "in process {pid} after removal: {places:?}"
        );
    }
    Ok(())
}

#[test]
fn a_login_that_is_held_is_locked_and_in_no_dump() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    // What earlier tests stored is not held any more.
    ctl(testbed, "alice", &["claude", "token", "remove"])?;
    daemon(testbed, "restart")?;
    let pid = testbed.main_pid(DAEMON)?;
    let locked = || -> Result<bool> {
        let status = testbed.run_ok("root", &["cat", &format!("/proc/{pid}/status")])?;
        let line = status.lines().find(|line| line.starts_with("VmLck:"));
        Ok(line.context("no VmLck")?.split_whitespace().nth(1) != Some("0"))
    };
    let (access, refresh) = (
        "sk-ant-oat01-CANARY-login-access",
        "sk-ant-ort01-CANARY-login-refresh",
    );
    let _login = Login::of_alice(testbed, access, refresh, "+2 hours")?;
    let sandbox = Sandbox::up(testbed, "alice", "held", "claude", &[])?;
    let file = "/run/secrets/claude-oauth-token";
    ensure!(sandbox.exec_ok(&["cat", file])? == access);
    let places = found(testbed, pid, access)?;
    ensure!(
        places.len() == 1,
        "it is held once, in its own pages: {places:?}"
    );
    for flag in ["dd", "lo"] {
        let has = |flags: &String| flags.split_whitespace().any(|one| one == flag);
        ensure!(places.iter().all(has), "{flag}: {places:?}");
    }
    ensure!(locked()?, "nothing is locked");
    ensure!(
        found(testbed, pid, refresh)?.is_empty(),
        "the refresh token left the command line"
    );
    let shim = testbed.main_pid(&sandbox.unit())?;
    ensure!(found(testbed, shim, access)?.is_empty());
    // Logged out: nothing of it is left.
    testbed.run_ok("root", &["rm", LOGIN])?;
    ctl_ok(testbed, "alice", &["auth", "refresh", "--all"])?;
    ensure!(!sandbox.exec(&["test", "-e", file])?.ok());
    ensure!(
        found(testbed, pid, access)?.is_empty(),
        "it was not forgotten"
    );
    ensure!(!locked()?, "something is still locked");
    Ok(())
}

#[test]
fn nobody_looks_into_our_programs() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "private", "claude-key", &[])?;
    let (daemon, shim) = (
        testbed.main_pid(DAEMON)?,
        testbed.main_pid(&sandbox.unit())?,
    );
    // Not even its own user: what cannot be dumped cannot be traced either.
    for file in ["mem", "environ", "maps"] {
        let look = format!("cat /proc/{daemon}/{file}");
        ensure!(!testbed.sh("foraged", &look)?.ok(), "foraged reads {file}");
    }
    for pid in [daemon, shim] {
        let limits = testbed.run_ok("root", &["cat", &format!("/proc/{pid}/limits")])?;
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = core.unwrap_or_default().split_whitespace().collect();
        ensure!(words.get(4..6) == Some(&["0", "0"]), "{core:?}");
    }
    let show = [
        "systemctl",
        "show",
        "--value",
        "-p",
        "MemorySwapMax",
        DAEMON,
    ];
    ensure!(testbed.run_ok("root", &show)?.trim() == "0");
    Ok(())
}
