//! Listing, and the daemon's memory, with many made-up records.

use anyhow::{Context, Result};
use forage_tests::testbed::Testbed;
use serde_json::{Value, json};

use super::figures::{Table, median};
use super::rows::{resident, timed};

const COUNT: u32 = 1000;
const LISTS: usize = 30;
const SANDBOXES: &str = "/var/lib/firefly-forage/sandboxes";

/// `ps`, `auth status` and the daemon's memory, without records and with many copies of a stopped sandbox's.
pub(super) fn listing(testbed: &Testbed, table: &mut Table) -> Result<()> {
    let verbs = ["ps", "auth status"];
    let few = verbs.map(|verb| listed(testbed, verb));
    testbed.run_ok("alice", &["forage-ctl", "up", "seed", "-t", "claude"])?;
    testbed.run_ok("alice", &["forage-ctl", "stop", "seed"])?;
    let seed = seed(testbed)?;
    testbed.run_ok("root", &["systemctl", "stop", "firefly-forage.service"])?;
    for number in 0..COUNT {
        let (name, content) = copy(&seed, number)?;
        let path = format!("{SANDBOXES}/{name}");
        testbed.write_file(&path, "foraged", "0600", content.to_string().as_bytes())?;
    }
    testbed.run_ok("root", &["systemctl", "start", "firefly-forage.service"])?;
    for (verb, few) in verbs.into_iter().zip(few) {
        let (what, none) = (
            format!("{verb}, {COUNT} records"),
            format!("{verb}, no records"),
        );
        table.compare(&what, "ms", listed(testbed, verb)?, (&none, few?), 2.0);
    }
    let what = format!("foraged with {COUNT} records, resident");
    table.report(
        &what,
        "MiB",
        resident(testbed, "firefly-forage.service")?,
        20.0,
    );
    Ok(())
}

/// Milliseconds of a list.
fn listed(testbed: &Testbed, verb: &str) -> Result<f64> {
    median(timed(
        testbed,
        "alice",
        &format!("forage-ctl {verb}"),
        LISTS,
    )?)
}

/// The name and content of the one record there is.
fn seed(testbed: &Testbed) -> Result<(String, Value)> {
    let names = testbed.run_ok(
        "root",
        &["find", SANDBOXES, "-name", "*.json", "-printf", "%f\n"],
    )?;
    let name = names
        .lines()
        .next()
        .context("the stopped sandbox has no record")?;
    let content = testbed.run_ok("root", &["cat", &format!("{SANDBOXES}/{name}")])?;
    let content = serde_json::from_str(&content).context("the record is no JSON")?;
    Ok((name.to_owned(), content))
}

/// A record with an id, a slot and a name of its own: `<id>.<uid>.<slot>.<name>.json`.
fn copy((file, content): &(String, Value), number: u32) -> Result<(String, Value)> {
    let uid = file
        .split('.')
        .nth(1)
        .context("the record's file name has no uid")?;
    let (id, slot, name) = (
        format!("{:08x}", 0xbe00_0000 + number),
        100 + number,
        number,
    );
    let mut content = content.clone();
    for (key, value) in [
        ("id", json!(id)),
        ("slot", json!(slot)),
        ("name", json!(format!("n{name}"))),
    ] {
        if let Some(place) = content.get_mut(key) {
            *place = value;
        }
    }
    Ok((format!("{id}.{uid}.{slot}.n{name}.json"), content))
}

#[cfg(test)]
mod tests {
    use super::copy;
    use serde_json::json;

    #[test]
    fn copies_differ_in_what_must_be_unique() {
        let seed = (
            "0a0b0c0d.1000.0.seed.json".to_owned(),
            json!({"id": "0a0b0c0d", "name": "seed"}),
        );
        let (file, content) = copy(&seed, 7).unwrap();
        assert_eq!(file, "be000007.1000.107.n7.json");
        assert_eq!(content, json!({"id": "be000007", "name": "n7"}));
    }
}
