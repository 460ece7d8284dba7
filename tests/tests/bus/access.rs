//! Who may call what.

use anyhow::{Result, ensure};

use crate::host::BusHost;

/// Every method with arguments it would take: interface, then what busctl wants.
const CALLS: &[(&str, &[&str])] = &[
    ("Manager", &["Create", "ssa{sv}", "s1", "claude", "0"]),
    ("Manager", &["Start", "sa{sv}", "s1", "0"]),
    ("Manager", &["Stop", "sa{sv}", "s1", "0"]),
    ("Manager", &["Remove", "sa{sv}", "s1", "0"]),
    ("Manager", &["Exec", "sa{sv}", "s1", "0"]),
    ("Manager", &["Get", "sa{sv}", "s1", "0"]),
    ("Manager", &["List", "a{sv}", "0"]),
    ("Manager", &["Logs", "sa{sv}", "s1", "0"]),
    ("Manager", &["Templates"]),
    ("Manager", &["Subscribe"]),
    ("Manager", &["Version"]),
    ("Tokens", &["Status", "a{sv}", "0"]),
    ("Tokens", &["Remove", "a{sv}", "0"]),
    ("Tokens", &["Refresh", "sa{sv}", "s1", "0"]),
    ("Tokens", &["Revoke", "sa{sv}", "s1", "0"]),
];

#[test]
fn strangers_are_stopped_by_the_bus() -> Result<()> {
    let host = BusHost::shared()?;
    for user in ["mallory", "nobody"] {
        for (interface, what) in CALLS {
            let outcome = host.call(user, interface, what)?;
            ensure!(!outcome.ok(), "{user} called {interface}.{}", what[0]);
            ensure!(
                outcome.stderr.contains("Access denied") || outcome.stderr.contains("not allowed"),
                "{user} {interface}.{}: {}",
                what[0],
                outcome.stderr
            );
        }
        let outcome = host.probe(user, &["store", "good"])?;
        ensure!(
            outcome.text().contains("AccessDenied"),
            "{}",
            outcome.text()
        );
    }
    Ok(())
}

#[test]
fn the_table_above_names_every_method() -> Result<()> {
    let host = BusHost::shared()?;
    let argv = [
        "busctl",
        "--system",
        "introspect",
        "org.firefly.Forage1",
        "/org/firefly/Forage1",
    ];
    let seen = host.run("alice", &argv)?.stdout;
    let mut section = "";
    for line in seen.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [interface, "interface", ..] => section = interface,
            [member, "method", ..] => {
                let Some(interface) = section.strip_prefix("org.firefly.Forage1.") else {
                    continue;
                };
                let name = member.trim_start_matches('.');
                // These take a descriptor, which busctl cannot send; the probe does.
                let sends = ["Store", "OfferHostLogin"];
                let known = CALLS
                    .iter()
                    .any(|(i, what)| *i == interface && what[0] == name);
                ensure!(
                    known || sends.contains(&name),
                    "{interface}.{name} is not in the table"
                );
            }
            [member, "property", ..] if section.starts_with("org.firefly.Forage1") => {
                anyhow::bail!("{section} has a property {member}, which nobody is asked about");
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn members_may_and_see_only_their_own() -> Result<()> {
    let host = BusHost::shared()?;
    for user in ["alice", "bob"] {
        let list = host.call(user, "Manager", &["List", "a{sv}", "0"])?;
        ensure!(
            list.ok() && list.stdout.trim() == "a(ssussssua{sv}) 0",
            "{}",
            list.text()
        );
        let get = host.call(user, "Manager", &["Get", "sa{sv}", "none", "0"])?;
        ensure!(!get.ok() && get.stderr.contains("none"), "{}", get.text());
    }
    Ok(())
}

#[test]
fn a_member_who_left_the_group_is_refused_at_the_next_call() -> Result<()> {
    let host = BusHost::start("user = \"alice\"\n")?;
    // The bus knows the groups of log-in time; the probe keeps its connection and its groups.
    host.sh(
        "root",
        "sed -i 's/^forage:.*/forage:x:898:alice/' /etc/group",
    )?;
    let bob = ["setpriv", "--reuid=bob", "--regid=bob", "--groups=forage"];
    let list = [
        "busctl",
        "--system",
        "call",
        "org.firefly.Forage1",
        "/org/firefly/Forage1",
    ];
    let mut argv = bob.to_vec();
    argv.extend(list);
    argv.extend(["org.firefly.Forage1.Manager", "List", "a{sv}", "0"]);
    let outcome = host.run("root", &argv)?;
    ensure!(
        !outcome.ok() && outcome.stderr.contains("group forage"),
        "{}",
        outcome.text()
    );
    Ok(())
}

#[test]
fn without_polkit_nobody_acts_for_others() -> Result<()> {
    let host = BusHost::shared()?;
    for user in ["root", "bob"] {
        let what = ["List", "a{sv}", "1", "owner", "s", "alice"];
        let outcome = host.call(user, "Manager", &what)?;
        ensure!(
            !outcome.ok(),
            "{user} saw the sandboxes of alice: {}",
            outcome.stdout
        );
        let outcome = host.call(
            user,
            "Tokens",
            &["Remove", "a{sv}", "1", "owner", "s", "alice"],
        )?;
        ensure!(!outcome.ok(), "{user} removed the token of alice");
    }
    let outcome = host.call(
        "root",
        "Manager",
        &["Create", "ssa{sv}", "s1", "claude", "0"],
    )?;
    ensure!(
        !outcome.ok() && outcome.stderr.contains("root owns no"),
        "{}",
        outcome.text()
    );
    Ok(())
}

#[test]
fn nobody_else_owns_the_name() -> Result<()> {
    let host = BusHost::without_daemon("")?;
    for user in ["root", "alice", "mallory"] {
        let outcome = host.probe(user, &["own"])?;
        ensure!(
            !outcome.ok() && outcome.stdout.contains("AccessDenied"),
            "{user}: {}",
            outcome.text()
        );
    }
    ensure!(host.probe("foraged", &["own"])?.ok());
    Ok(())
}
