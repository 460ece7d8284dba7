//! The documents name what there is: what is not written down cannot be looked up.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use forage_api::provider::{Provider, Vendor};
use forage_tests::testbed::repository;

fn document(name: &str) -> Result<String> {
    let path = repository().join("docs").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn sources(directory: &Path, into: &mut String) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The words that stand in quotes right after a text, or a little later.
fn quoted<'a>(source: &'a str, after: &'a str, within: usize) -> impl Iterator<Item = &'a str> {
    let pieces = source.split(after).skip(1);
    pieces.filter_map(move |rest| {
        let (before, rest) = rest.split_once('"')?;
        let (word, _) = rest.split_once('"')?;
        (before.len() <= within && !before.contains(';')).then_some(word)
    })
}

#[test]
fn every_event_of_the_journal() -> Result<()> {
    let journal = document("journal.md")?;
    let mut source = String::new();
    for part in ["daemon/src", "shim/src"] {
        sources(&repository().join(part), &mut source)?;
    }
    let mut events: Vec<&str> = quoted(&source, "FORAGE_EVENT = ", 0)
        .chain(quoted(&source, " note(", 40))
        .collect();
    events.sort_unstable();
    events.dedup();
    // That something was found is the proof that it was looked for in the right way.
    ensure!(events.contains(&"operation") && events.contains(&"unrecorded"));
    for event in events {
        ensure!(journal.contains(&format!("`{event}`")), "{event}");
    }
    Ok(())
}

#[test]
fn every_member_on_the_bus() -> Result<()> {
    let documented = document("dbus.md")?;
    let data = repository().join("daemon/data/dbus/org.firefly.Forage1.xml");
    let data = fs::read_to_string(data)?;
    let mut members = 0;
    for interface in data.split("<interface ").skip(1) {
        if !interface.starts_with("name=\"org.firefly.Forage1.") {
            continue;
        }
        for kind in ["<method name=", "<signal name=", "<property name="] {
            for name in quoted(interface, kind, 0) {
                members += 1;
                ensure!(documented.contains(&format!("`{name}(")), "{name}");
            }
        }
    }
    ensure!(members > 10, "{members} members");
    Ok(())
}

#[test]
fn every_key_of_the_configuration() -> Result<()> {
    let documented = document("configuration.md")?;
    let agent = "agents.a = { command = \"/a\", nonsense = 1 }";
    for text in [
        "nonsense = 1".to_owned(),
        "[templates.a]\nroot = \"/a\"\nnonsense = 1".to_owned(),
        "[templates.a]\nroot = \"/a\"\nresourceLimits = { nonsense = 1 }".to_owned(),
        format!("[templates.a]\nroot = \"/a\"\n{agent}"),
    ] {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), &text)?;
        let refused = forage_api::config::parse(file.path()).err();
        let refused = refused.context("nonsense was taken")?.to_string();
        let (_, known) = refused
            .split_once("expected one of ")
            .with_context(|| refused.clone())?;
        for key in known.split(", ") {
            // A table is shown by a heading, its names by their own keys.
            let key = key.trim_matches('`');
            let named = [
                format!("`{key}`"),
                format!("`{key}."),
                format!("<name>.{key}"),
            ];
            let named = named.iter().any(|name| documented.contains(name));
            ensure!(named, "{key}");
        }
    }
    Ok(())
}

/// The cells of the table's row that begins with a word.
fn row<'a>(document: &'a str, first: &str) -> Result<Vec<&'a str>> {
    let found = document
        .lines()
        .find(|line| line.starts_with(&format!("| {first} |")))
        .with_context(|| format!("there is no row for {first}"))?;
    let cells = found.trim_matches('|').split('|');
    Ok(cells.map(str::trim).collect())
}

fn list(names: &[&str]) -> String {
    let marked: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    marked.join(" ")
}

#[test]
fn every_variable_of_every_agent() -> Result<()> {
    let documented = document("configuration.md")?;
    for provider in Provider::ALL {
        let file = if provider == Provider::Claude {
            "yes"
        } else {
            "no"
        };
        let token = provider
            .token_variable()
            .map_or_else(String::new, |name| list(&[name]));
        let vendor = provider.vendor().map_or("by variable", Vendor::as_str);
        let name = format!("`{}`", provider.as_str());
        let expected = [
            name.clone(),
            token,
            list(&[provider.secret_variable()]),
            file.to_owned(),
            vendor.to_owned(),
            list(provider.variables()),
        ];
        ensure!(row(&documented, &name)? == expected, "{expected:?}");
    }
    for vendor in Vendor::ALL {
        let expected = [vendor.as_str().to_owned(), list(vendor.variables())];
        ensure!(
            row(&documented, vendor.as_str())? == expected,
            "{expected:?}"
        );
    }
    Ok(())
}
