//! `Logs`: an owner reads the logs of their own sandboxes, and nobody else does.

use anyhow::{Result, ensure};

use crate::host::BusHost;

/// A record of a stopped sandbox of alice's, and the logs of its last runs, as the shim leaves them.
const PREPARE: &str = r#"
cd /var/lib/firefly-forage
cat > sandboxes/00000abc.61000.1.s1.json <<RECORD
{"version":1,"id":"00000abc","owner":61000,"slot":1,"name":"s1","template":"claude","repository":null,
 "createdAt":"2026-03-19T21:00:00Z","phase":"created","deleteWorkspace":false}
RECORD
chown foraged:foraged sandboxes/*.json
mkdir -p -m 0750 logs
echo older > logs/00000abc.1
echo newer > logs/00000abc
chown -R root:foraged logs
chmod 0640 logs/*
"#;

#[test]
fn an_owner_reads_the_logs_and_nobody_else() -> Result<()> {
    let mut host = BusHost::without_daemon("")?;
    host.sh("root", PREPARE)?;
    host.start_daemon()?;
    let logs = ["Logs", "sa{sv}", "s1", "0"];
    let own = host.call("alice", "Manager", &logs)?;
    ensure!(
        own.ok() && own.stdout.starts_with("ah 2 "),
        "{}",
        own.text()
    );
    // Another's sandbox and none give the same answer.
    let others = host.call("bob", "Manager", &logs)?;
    let none = host.call("bob", "Manager", &["Logs", "sa{sv}", "s2", "0"])?;
    let text = |outcome: &str, name: &str| outcome.replace(name, "NAME");
    ensure!(
        !others.ok() && text(&others.stderr, "s1") == text(&none.stderr, "s2"),
        "{}{}",
        others.text(),
        none.text()
    );
    let named = ["Logs", "sa{sv}", "s1", "1", "owner", "s", "alice"];
    ensure!(!host.call("bob", "Manager", &named)?.ok());
    // They are to be read, and no more.
    let read = host.probe("alice", &["logs", "s1"])?;
    let expected = "older\nwritten: false\nnewer\nwritten: false\n";
    ensure!(read.stdout == expected, "{}", read.text());
    // What is no file of the shim's is not handed out, and says nothing of what it is.
    host.sh(
        "root",
        "cd /var/lib/firefly-forage/logs; rm 00000abc; ln -s ../tokens 00000abc",
    )?;
    let link = host.probe("alice", &["logs", "s1"])?;
    ensure!(
        !link.ok() && link.stdout.contains("StorageFailed"),
        "{}",
        link.text()
    );
    Ok(())
}
