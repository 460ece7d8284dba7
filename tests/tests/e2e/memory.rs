//! What the memory of our programs holds, and who may look into it.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{DAEMON, Sandbox, alone, ctl_ok, store};

/// Counts how often a text, given in hexadecimal, is in the memory of a process.
const SEARCH: &str = r#"
my ($pid, $text) = (shift, join '', map { chr hex } <STDIN> =~ /../g);
open my $maps, '<', "/proc/$pid/maps" or die "maps: $!";
open my $memory, '<:raw', "/proc/$pid/mem" or die "mem: $!";
my $found = 0;
while (<$maps>) {
  my ($start, $end) = /^([0-9a-f]+)-([0-9a-f]+) r/ or next;
  next if /\[v(var|var_vclock|syscall)\]/;
  my ($at, $length) = (hex $start, hex($end) - hex $start);
  sysseek $memory, $at, 0 or next;
  my $content = '';
  while (length $content < $length) {
    sysread $memory, $content, $length - length $content, length $content or last;
  }
  $found++ while $content =~ /\Q$text\E/g;
}
print $found;
"#;

fn found(testbed: &Testbed, pid: u32, text: &str) -> Result<u32> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let pid = pid.to_string();
    let argv = ["perl", "-e", SEARCH, &pid];
    let outcome = testbed.run_with_input("root", &argv, hex.as_bytes())?;
    ensure!(outcome.ok(), "{}", outcome.text());
    Ok(outcome.stdout.parse()?)
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
        ensure!(found(testbed, pid, "/run/firefly-forage")? > 0);
        let count = found(testbed, pid, canary)?;
        ensure!(count == 0, "{count} times in process {pid}");
    }
    ctl_ok(testbed, "alice", &["claude", "token", "remove"])?;
    for pid in [daemon, shim] {
        let count = found(testbed, pid, canary)?;
        ensure!(count == 0, "{count} times in process {pid} after removal");
    }
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
