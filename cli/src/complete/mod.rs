//! What a shell offers at the Tab key. The shells' scripts know nothing of the command line: they
//! ask `forage-ctl __complete SHELL INDEX`, with the words of the line on standard input, each ended
//! by a NUL: in the arguments, others would see what somebody has only typed so far. They get a first
//! line that says of what kind the answer is (`values`, `directories` or `files`), then a line for
//! each value. Names of sandboxes and templates come from the daemon. Nothing here ever waits long,
//! asks anything, or complains.

mod known;
mod shell;

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use clap::{Arg, Command, CommandFactory as _, ValueHint};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use forage_api::exit;
use forage_api::ident::{AgentName, SandboxName, TemplateName};

use crate::args::Cli;
use crate::output;
use known::Known;
pub use shell::Shell;

/// The word that asks for completions. It is no verb: nobody is to type it.
pub const REQUEST: &str = "__complete";

/// Marks the candidate that stands for paths, which the shell itself knows best.
const DIRECTORIES: &str = "directories";
const FILES: &str = "files";

/// Answers a shell that asks what fits; gives the exit code, or nothing if that is not asked.
pub fn requested(arguments: impl IntoIterator<Item = OsString>, line: impl Read) -> Option<u8> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != REQUEST {
        return None;
    }
    let shell = arguments
        .next()
        .and_then(|shell| Shell::named(shell.to_str()?));
    let index = arguments
        .next()
        .and_then(|index| index.to_str()?.parse().ok());
    let (Some(shell), Some(index)) = (shell, index) else {
        return Some(exit::USAGE);
    };
    let words = words(line);
    let known = Known::of_daemon(&words);
    let answer = answer(shell, index, words, known);
    Some(output::result(&answer).map_or_else(|error| error.exit, |()| exit::OK))
}

/// The words of a line. One that is too long is cut: nobody has typed it.
fn words(line: impl Read) -> Vec<OsString> {
    const MOST: u64 = 128 * 1024;
    let mut text = Vec::new();
    // What cannot be read is not completed.
    let _unread = line.take(MOST).read_to_end(&mut text);
    text.split_inclusive(|byte| *byte == 0)
        .map(|word| OsStr::from_bytes(word.strip_suffix(b"\0").unwrap_or(word)).to_owned())
        .collect()
}

/// What fits at a place of a command line.
fn answer(shell: Shell, index: usize, mut words: Vec<OsString>, known: Known) -> String {
    // A word that is not begun yet may not be there at all.
    words.resize(
        index.saturating_add(1).min(words.len() + 1),
        OsString::new(),
    );
    let begun = words.get(index).is_some_and(|word| !word.is_empty());
    // Of an option the long form is offered.
    if let Some(word) = words.get_mut(index).filter(|word| *word == "-") {
        word.push("-");
    }
    let mut command = prepared(Cli::command(), &Arc::new(known));
    let mut found =
        clap_complete::engine::complete(&mut command, words, index, None).unwrap_or_default();
    for kind in [DIRECTORIES, FILES] {
        if found
            .iter()
            .any(|one| one.get_id().is_some_and(|id| id == kind))
        {
            return format!("{kind}\n");
        }
    }
    // Options are offered once they are begun.
    if !begun {
        found.retain(|one| !one.get_value().to_string_lossy().starts_with('-'));
    }
    let lines = found.iter().map(|one| shell.line(one));
    std::iter::once("values\n".into()).chain(lines).collect()
}

/// The command line with what fits its arguments, by their types: an argument that is the name of a
/// sandbox offers those that fit its verb.
fn prepared(command: Command, known: &Arc<Known>) -> Command {
    let verb = command.get_name().to_owned();
    command
        .mut_args(|argument| offering(argument, &verb, known))
        .mut_subcommands(|verb| prepared(verb, known))
}

fn offering(argument: Arg, verb: &str, known: &Arc<Known>) -> Arg {
    let kind = argument.get_value_parser().type_id();
    let known = Arc::clone(known);
    if kind == std::any::TypeId::of::<SandboxName>() {
        let verb = verb.to_owned();
        return argument.add(ArgValueCandidates::new(move || known.sandboxes(&verb)));
    }
    if kind == std::any::TypeId::of::<TemplateName>() {
        return argument.add(ArgValueCandidates::new(move || known.templates()));
    }
    if kind == std::any::TypeId::of::<AgentName>() {
        return argument.add(ArgValueCandidates::new(move || known.agents()));
    }
    if argument.get_id() == "owner" {
        return argument.add(ArgValueCandidates::new(move || known.owners()));
    }
    let paths = match argument.get_value_hint() {
        ValueHint::DirPath => DIRECTORIES,
        ValueHint::AnyPath | ValueHint::FilePath => FILES,
        _ => return argument,
    };
    argument.add(ArgValueCompleter::new(move |_: &OsStr| {
        vec![CompletionCandidate::new("").id(Some(paths.into()))]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is offered where the line, split at spaces, ends.
    fn offered(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let answer = answer(
            Shell::Bash,
            words.len() - 1,
            words.clone(),
            Known::sample(&words),
        );
        answer.lines().map(str::to_owned).collect()
    }

    #[test]
    fn names_by_verb() {
        for (line, names) in [
            ("forage-ctl stop ", &["s1", "s2", "ice"][..]),
            ("forage-ctl stop s1 ", &["s2", "ice"]),
            ("forage-ctl auth re", &["refresh", "revoke"]),
            (
                "forage-ctl auth revoke s1 ",
                &["s2", "ice", "old", "broken"],
            ),
            ("forage-ctl start ", &["old", "broken"]),
            (
                "forage-ctl down --all ",
                &["s1", "s2", "ice", "old", "broken"],
            ),
            ("forage-ctl -v down o", &["old"]),
            ("forage-ctl status --json s", &["s1", "s2"]),
            ("forage-ctl exec ", &["s1", "s2"]),
            ("forage-ctl exec s1 -- ", &[]),
            ("forage-ctl agent ", &["s1", "s2"]),
            ("forage-ctl agent s1 ", &["claude"]),
            ("forage-ctl agent nobody ", &[]),
            ("forage-ctl up s", &[]),
            ("forage-ctl up n -t ", &["claude", "plain"]),
            ("forage-ctl up n --template=p", &["--template=plain"]),
            ("forage-ctl up n -tp", &["-tplain"]),
            ("forage-ctl ps --owner ", &["root"]),
            ("forage-ctl claude token st", &["store", "status"]),
            ("forage-ctl completion z", &["zsh"]),
            ("forage-ctl stat", &["status"]),
        ] {
            let offered = offered(line);
            assert_eq!(offered[0], "values", "{line}");
            assert_eq!(offered[1..], *names, "{line}");
        }
    }

    #[test]
    fn options_once_they_are_begun() {
        assert_eq!(offered("forage-ctl up n "), ["values"]);
        for line in ["forage-ctl stop -", "forage-ctl stop --a"] {
            assert!(offered(line).contains(&"--all".into()), "{line}");
        }
    }

    #[test]
    fn paths_are_the_shells_own() {
        assert_eq!(offered("forage-ctl up n --repo "), [DIRECTORIES]);
        assert_eq!(offered("forage-ctl up n --repo=/ho"), [DIRECTORIES]);
        assert_eq!(offered("forage-ctl claude token store --file x"), [FILES]);
    }

    #[test]
    fn nonsense_is_answered_with_nothing() {
        let ask = |words: &[&str]| {
            let words = ["forage-ctl", REQUEST].iter().chain(words);
            requested(words.map(OsString::from), &b"forage-ctl\0"[..])
        };
        for words in [
            &[][..],
            &["bash"],
            &["tcsh", "1"],
            &["bash", "x"],
            &["bash", "-1"],
        ] {
            assert_eq!(ask(words), Some(exit::USAGE), "{words:?}");
        }
        let ps = ["forage-ctl", "ps"].map(OsString::from);
        assert_eq!(requested(ps, &b""[..]), None);
        assert_eq!(words(&b"a\0\xff\0\0"[..]).len(), 3);
        assert!(words(&b""[..]).is_empty());
        for (index, words) in [
            (0, vec![]),
            (9, vec!["forage-ctl"]),
            (usize::MAX, vec!["x"]),
        ] {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            let known = Known::sample(&words);
            assert!(answer(Shell::Zsh, index, words, known).starts_with("values\n"));
        }
    }
}
