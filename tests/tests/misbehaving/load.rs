//! Much at once: many records, many command lines, and one user at every limit while another works.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use forage_tests::testbed::{Testbed, wait_for};

use crate::support::{Sandbox, Undo, alone, ctl, ctl_ok, daemon};

const RECORDS: &str = "/var/lib/firefly-forage/sandboxes";
const CONFIG: &str = "/etc/firefly-forage/config.toml";

/// Copies of a stopped sandbox's record: 60 each for alice and bob, the rest for people nobody knows.
const COPIES: &str = r#"
my ($from) = glob('/var/lib/firefly-forage/sandboxes/*.json'); local $/; open(my $f, '<', $from);
my $text = <$f>; my ($id, $uid, $slot, $name) = $from =~ m{/([0-9a-f]+)\.(\d+)\.(\d+)\.([^/]*)\.json$};
for my $n (0 .. 999) {
    my $to = sprintf('be%06x', $n); my $owner = $n < 60 ? 1000 : $n < 120 ? 1001 : 2000 + $n % 16;
    my $copy = $text; $copy =~ s/"id": "$id"/"id": "$to"/; $copy =~ s/"owner": $uid/"owner": $owner/;
    my $place = 100 + $n; $copy =~ s/"slot": $slot/"slot": $place/; $copy =~ s/"name": "$name"/"name": "n$n"/;
    my $path = "/var/lib/firefly-forage/sandboxes/$to.$owner.$place.n$n.json";
    open(my $o, '>', $path) or die; print $o $copy; close $o; chown((stat $from)[4, 5], $path); chmod 0600, $path;
}
"#;

/// Starts a line of shell as somebody; what it prints is read when it is waited for.
fn begin(testbed: &Testbed, user: &str, line: &str) -> Result<std::process::Child> {
    let mut command = testbed.command(user, &["bash", "-c", line]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    child.with_context(|| line.to_owned())
}

fn end(child: std::process::Child) -> Result<String> {
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}

#[test]
fn two_hundred_command_lines_and_a_thousand_records() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let seed = Sandbox::up(testbed, "bob", "seed", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["stop", "seed"])?;
    daemon(testbed, "stop")?;
    let undo = Undo::new(
        testbed,
        format!(
            "systemctl stop firefly-forage; rm -f {RECORDS}/be00*; systemctl reset-failed firefly-forage; systemctl start firefly-forage"
        ),
    );
    testbed.run_ok("root", &["perl", "-e", COPIES])?;
    daemon(testbed, "start")?;
    let count = |user: &str| -> Result<usize> {
        let list: serde_json::Value =
            serde_json::from_str(&ctl_ok(testbed, user, &["ps", "--json"])?)?;
        Ok(list["sandboxes"].as_array().map_or(0, Vec::len))
    };
    ensure!(count("root")? == 1001 && count("alice")? == 60 && count("bob")? == 61);
    let line =
        "for i in {1..100}; do { timeout 60 forage-ctl ps >/dev/null 2>&1; echo $?; } & done; wait";
    let all = ["alice", "bob"].map(|user| begin(testbed, user, line));
    for child in all {
        let codes = end(child?)?;
        let codes: Vec<&str> = codes.lines().collect();
        ensure!(codes.len() == 100, "{codes:?}");
        // Beyond the limit of requests in flight one is told so.
        ensure!(
            codes.iter().all(|code| ["0", "7"].contains(code)),
            "{codes:?}"
        );
        ensure!(
            codes.iter().filter(|code| **code == "0").count() >= 50,
            "{codes:?}"
        );
    }
    ctl_ok(testbed, "bob", &["start", "seed"])?;
    ensure!(seed.exec_ok(&["id", "-un"])? == "agent");
    drop(undo);
    seed.down()?;
    Ok(())
}

#[test]
fn one_user_at_every_limit_and_another_works() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let config = testbed.run_ok("root", &["cat", CONFIG])?;
    testbed.write_file("/run/forage-config", "root", "0644", config.as_bytes())?;
    let _config = Undo::new(
        testbed,
        format!(
            "install -m 0644 /run/forage-config {CONFIG}; rm /run/forage-config; systemctl reload firefly-forage"
        ),
    );
    let limits = "maxSandboxesPerUser = 3\nmaxStartsPerUser = 1\nmaxRequestsPerUser = 4\n";
    let text = format!("{limits}{config}");
    testbed.write_file(CONFIG, "root", "0644", text.as_bytes())?;
    testbed.run_ok("root", &["systemctl", "reload", "firefly-forage"])?;
    // Three starts of bob's at once, of which two wait for their turn, and more than he may have.
    let names = ["lim1", "lim2", "lim3", "lim4", "lim5"];
    let ups: Vec<_> = names
        .iter()
        .map(|name| {
            begin(
                testbed,
                "bob",
                &format!("forage-ctl up {name} -t claude-key >/dev/null 2>&1; echo $?"),
            )
        })
        .collect::<Result<_>>()?;
    // One of them is let in before his requests are more than he may have.
    wait_for("the first of bob's", Duration::from_secs(20), || {
        let all = ctl_ok(testbed, "root", &["ps", "--json"])?;
        Ok(all.contains("\"name\": \"lim").then_some(()))
    })?;
    let flood = "while [ ! -e /tmp/enough ]; do for i in {1..12}; do { timeout 60 forage-ctl ps >/dev/null 2>&1; echo $?; } & done; wait; done";
    let enough = Undo::new(testbed, "touch /tmp/enough");
    let flood = begin(testbed, "bob", flood)?;
    for _ in 0..2 {
        let sandbox = Sandbox::up(testbed, "alice", "free", "claude-key", &[])?;
        ensure!(sandbox.exec_ok(&["id", "-un"])? == "agent");
        ctl_ok(testbed, "alice", &["ps"])?;
        sandbox.down()?;
    }
    drop(enough);
    let codes = end(flood)?;
    testbed.run_ok("root", &["rm", "/tmp/enough"])?;
    ensure!(
        codes.lines().all(|code| ["0", "7"].contains(&code)),
        "{codes}"
    );
    let ups: Vec<String> = ups.into_iter().map(end).collect::<Result<_>>()?;
    ensure!(
        ups.iter().all(|code| ["0", "7"].contains(&code.trim())),
        "{ups:?}"
    );
    let list: serde_json::Value = wait_for("bob's own turn", Duration::from_secs(20), || {
        let list = ctl(testbed, "bob", &["ps", "--json"])?;
        Ok(list
            .ok()
            .then(|| serde_json::from_str(&list.stdout))
            .transpose()?)
    })?;
    let has = list["sandboxes"].as_array().map_or(0, Vec::len);
    let _all: Vec<_> = names
        .iter()
        .map(|name| Sandbox::adopt(testbed, "bob", name))
        .collect();
    ensure!((1..=3).contains(&has), "{list}");
    for name in ["lim6", "lim7", "lim8"].iter().take(3 - has) {
        ctl_ok(testbed, "bob", &["up", name, "-t", "claude-key"])?;
    }
    let _more: Vec<_> = ["lim6", "lim7", "lim8"]
        .iter()
        .take(3 - has)
        .map(|name| Sandbox::adopt(testbed, "bob", name))
        .collect();
    let more = ctl(testbed, "bob", &["up", "lim9", "-t", "claude-key"])?;
    ensure!(
        more.code() == 7 && more.stderr.contains("hint:"),
        "{}",
        more.text()
    );
    Ok(())
}
