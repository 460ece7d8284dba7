//! Refreshing and revoking: whose, which, and what may follow. That it works on sandboxes is shown where
//! there are some.

use anyhow::{Result, ensure};

use crate::host::BusHost;

#[test]
fn only_ones_own_and_only_words_that_are_known() -> Result<()> {
    let host = BusHost::shared()?;
    let refused: &[(&str, &[&str], &str)] = &[
        (
            "alice",
            &["Revoke", "sa{sv}", "none", "0"],
            "no sandbox none",
        ),
        (
            "alice",
            &["Refresh", "sa{sv}", "none", "0"],
            "no sandbox none",
        ),
        ("alice", &["Revoke", "sa{sv}", "../x", "0"], "not valid"),
        (
            "alice",
            &["Revoke", "sa{sv}", "", "1", "then", "s", "kill"],
            "no word for anything",
        ),
        (
            "alice",
            &["Revoke", "sa{sv}", "", "1", "then", "b", "true"],
            "invalid value",
        ),
        (
            "alice",
            &["Revoke", "sa{sv}", "", "1", "else", "s", "stop"],
            "else",
        ),
        (
            "bob",
            &["Revoke", "sa{sv}", "", "1", "owner", "s", "alice"],
            "",
        ),
        (
            "bob",
            &["Refresh", "sa{sv}", "", "1", "owner", "s", "alice"],
            "",
        ),
        ("root", &["Revoke", "sa{sv}", "", "0"], "root owns no"),
        ("root", &["Refresh", "sa{sv}", "", "0"], "root owns no"),
    ];
    for (user, what, words) in refused {
        let outcome = host.call(user, "Tokens", what)?;
        let said = outcome.text().contains(words);
        ensure!(!outcome.ok() && said, "{user} {what:?}: {}", outcome.text());
    }
    // All of none is nothing to do.
    for what in [
        &["Revoke", "sa{sv}", "", "0"][..],
        &["Revoke", "sa{sv}", "", "1", "then", "s", "stop"],
        &["Refresh", "sa{sv}", "", "0"],
    ] {
        let outcome = host.call("alice", "Tokens", what)?;
        ensure!(outcome.ok(), "{what:?}: {}", outcome.text());
        ensure!(
            outcome.stdout.contains("\"sandboxes\" aa{sv} 0"),
            "{what:?}: {}",
            outcome.text()
        );
    }
    Ok(())
}
