//! `cargo xtask docs`: writes what is made from the programs' sources, or checks that it is current.

mod man;
mod options;
mod providers;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory as _};
use forage_ctl::complete::Shell;
use forage_tests::testbed;

/// The folders that hold nothing else; a file there that is not made any more is removed.
const FOLDERS: [&str; 2] = ["docs/completions", "docs/man"];

/// The files by their path in the repository.
type Files = BTreeMap<PathBuf, String>;

/// Writes the files, or only says which are not current.
pub(crate) fn run(check: bool) -> Result<ExitCode> {
    let mut made = made()?;
    if let Some(page) = options::page()? {
        made.insert("docs/nixos-options.md".into(), page);
    }
    let outdated = outdated(&testbed::repository(), &made)?;
    for path in &outdated {
        println!(
            "{} {}",
            if check { "not current:" } else { "written:" },
            path.display()
        );
    }
    if !check {
        write(&testbed::repository(), &made, &outdated)?;
        return Ok(ExitCode::SUCCESS);
    }
    if outdated.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("write them again with: cargo xtask docs");
    Ok(ExitCode::FAILURE)
}

/// What the files have to be.
fn made() -> Result<Files> {
    let mut files = Files::new();
    for shell in Shell::ALL {
        let path = Path::new("docs/completions").join(shell.file());
        files.insert(path, shell.script());
    }
    let command = built(forage_ctl::args::Cli::command());
    files.insert("docs/cli.md".into(), reference::page(&command));
    files.insert("nix/providers.json".into(), providers::table()?);
    for (name, page) in man::pages(command, "1")? {
        files.insert(Path::new("docs/man").join(name), page);
    }
    for (name, page) in man::pages(built(foraged_args::Args::command()), "8")? {
        files.insert(Path::new("docs/man").join(name), page);
    }
    Ok(files)
}

/// A command line with everything clap adds, but the verb `help`: it would double every page.
fn built(command: Command) -> Command {
    let mut command = without_help(command);
    command.build();
    command
}

fn without_help(command: Command) -> Command {
    let command = command.disable_help_subcommand(true);
    command.mut_subcommands(without_help)
}

/// The files that are missing, differ, or are not made any more.
fn outdated(root: &Path, made: &Files) -> Result<Vec<PathBuf>> {
    let mut outdated: Vec<PathBuf> = made
        .iter()
        .filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path.clone())
        .collect();
    for folder in FOLDERS {
        let entries = match fs::read_dir(root.join(folder)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot read {folder}"))?,
        };
        for entry in entries {
            let path = Path::new(folder).join(entry?.file_name());
            if !made.contains_key(&path) {
                outdated.push(path);
            }
        }
    }
    Ok(outdated)
}

fn write(root: &Path, made: &Files, outdated: &[PathBuf]) -> Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("cannot make {folder}"))?;
    }
    for path in outdated {
        let place = root.join(path);
        match made.get(path) {
            Some(text) => fs::write(&place, text),
            None => fs::remove_file(&place),
        }
        .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_current_is_found_and_written() {
        let root = std::env::temp_dir().join(format!("forage-docs-{}", std::process::id()));
        let made: Files = [("docs/man/a.1", "a"), ("docs/cli.md", "b")]
            .map(|(path, text)| (path.into(), text.into()))
            .into();
        assert_eq!(outdated(&root, &made).unwrap().len(), 2);
        write(&root, &made, &outdated(&root, &made).unwrap()).unwrap();
        assert!(outdated(&root, &made).unwrap().is_empty());
        fs::write(root.join("docs/cli.md"), "changed").unwrap();
        fs::write(root.join("docs/man/old.1"), "").unwrap();
        let found = outdated(&root, &made).unwrap();
        assert_eq!(
            found,
            [Path::new("docs/cli.md"), Path::new("docs/man/old.1")]
        );
        write(&root, &made, &found).unwrap();
        assert!(outdated(&root, &made).unwrap().is_empty());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn it_is_the_same_each_time_and_says_that_it_is_generated() {
        let files = made().unwrap();
        assert_eq!(files, made().unwrap());
        for (path, text) in &files {
            let beginning: Vec<&str> = text.lines().take(2).collect();
            assert!(
                beginning.concat().contains("cargo xtask docs"),
                "{}",
                path.display()
            );
        }
        assert!(files.contains_key(Path::new("docs/man/forage-ctl-claude-token-store.1")));
        assert!(files.contains_key(Path::new("docs/man/foraged.8")));
        let up = &files[Path::new("docs/man/forage-ctl-up.1")];
        assert!(up.contains("\n.SH EXAMPLE\n.nf\n"), "{up}");
    }
}
