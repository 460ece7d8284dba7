//! Records that are damaged, of a newer version, or none at all.

use anyhow::{Result, ensure};
use forage_tests::testbed::Testbed;

use crate::support::{Sandbox, alone, ctl, ctl_ok, daemon};

const RECORDS: &str = "/var/lib/firefly-forage/sandboxes";

#[test]
fn damaged_newer_and_foreign_records_are_kept() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let names = [
        "00000001.1001.4080.empty",
        "00000002.1001.4081.torn",
        "00000003.1001.4082.newer",
        "00000004.1001.4083.dir",
    ];
    let line = format!(
        "cd {RECORDS}; : > {}.json; printf '{{\"version\": 1, \"id\"' > {}.json; printf '{{\"version\": 999}}' > {}.json; mkdir {}.json; echo x > stranger; chown -R foraged:foraged .",
        names[0], names[1], names[2], names[3]
    );
    testbed.run_ok("root", &["sh", "-c", &line])?;
    let sums = || {
        testbed.run_ok(
            "root",
            &[
                "sh",
                "-c",
                &format!("cd {RECORDS}; ls; cat stranger *.empty.json *.torn.json *.newer.json"),
            ],
        )
    };
    let before = sums()?;
    daemon(testbed, "restart")?;
    for name in ["empty", "torn", "newer", "dir"] {
        let status = ctl_ok(testbed, "bob", &["status", name, "--json"])?;
        ensure!(status.contains("unreadable"), "{name}: {status}");
        // The name stays taken, and nothing that might be wrong touches the file.
        ensure!(ctl(testbed, "bob", &["up", name, "-t", "claude-key"])?.code() == 4);
        for verb in ["start", "stop", "down"] {
            ensure!(
                ctl(testbed, "bob", &[verb, name])?.code() == 4,
                "{verb} {name}"
            );
        }
    }
    let _sandbox = Sandbox::up(testbed, "bob", "beside", "claude-key", &[])?;
    ctl_ok(testbed, "bob", &["down", "beside"])?;
    ensure!(sums()? == before, "a file was changed");
    testbed.run_ok(
        "root",
        &[
            "sh",
            "-c",
            &format!("cd {RECORDS}; rm -r 0000000?.* stranger"),
        ],
    )?;
    daemon(testbed, "restart")?;
    Ok(())
}

#[test]
fn what_runs_with_a_damaged_record_can_be_revoked_and_stopped() -> Result<()> {
    let testbed = Testbed::shared()?;
    let _alone = alone();
    let sandbox = Sandbox::up(testbed, "bob", "damaged", "claude-key", &[])?;
    let root = |line: &str| testbed.run_ok("root", &["sh", "-c", line]);
    let id = &sandbox.id;
    let file = format!("{RECORDS}/{id}.*.json");
    root(&format!(
        "for file in {file}; do cp -p $file /root/kept; printf '{{' > $file; done"
    ))?;
    daemon(testbed, "restart")?;
    let status = ctl_ok(testbed, "bob", &["status", "damaged", "--json"])?;
    ensure!(status.contains("unreadable"), "{status}");
    let secret = format!("/run/firefly-forage/secrets/{id}/anthropic");
    let has = || Ok::<_, anyhow::Error>(testbed.run("root", &["test", "-e", &secret])?.ok());
    ensure!(has()?, "it was taken away already");

    let revoked = ctl(testbed, "bob", &["auth", "revoke", "damaged"])?;
    ensure!(
        !revoked.ok() && revoked.text().contains("will not hold"),
        "{}",
        revoked.text()
    );
    ensure!(!has()?, "the credential is still there");
    let stopped = ctl(testbed, "bob", &["auth", "revoke", "damaged", "--stop"])?;
    ensure!(!stopped.ok(), "{}", stopped.text());
    let unit = format!("forage-sandbox@{id}.service");
    let runs = testbed.run("root", &["systemctl", "is-active", &unit])?;
    ensure!(!runs.ok(), "it runs on: {}", runs.text());

    root(&format!(
        "for file in {file}; do cp -p /root/kept $file; done"
    ))?;
    daemon(testbed, "restart")?;
    ctl_ok(testbed, "bob", &["start", "damaged"])?;
    ensure!(has()?, "a start gives nothing");
    Ok(())
}
