//! `down`: removes sandboxes.

use std::collections::HashMap;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Instant;

use forage_api::bus::{ManagerProxy, RemoveOptions, SandboxInfo};
use forage_api::exit;

use super::report;
use super::several::Several;
use crate::Error;
use crate::args::{Down, Global};
use crate::bus::Bus;
use crate::output::progress::Steps;
use crate::output::{self, escape, moment};

pub(super) fn run(global: Global, arguments: &Down) -> Result<u8, Error> {
    if arguments.all {
        return all(&global, arguments);
    }
    let bus = Bus::connect()?;
    let several = Several::named(&arguments.names);
    match several.single() {
        Some(name) => one(&bus, &global, arguments, name),
        None => each(&bus, &global, arguments, &several, HashMap::new()),
    }
}

fn one(bus: &Bus, global: &Global, arguments: &Down, name: &str) -> Result<u8, Error> {
    let (options, owner) = (options(global, arguments), global.options());
    // Afterwards nobody knows any more what it had.
    let sandbox = bus.manager(async |manager| manager.get(name, &owner).await)?;
    let mut steps = Steps::begin(name, global.progress());
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.remove(name, &options).await
    });
    let (took, ()) = report::ended(steps, reply)?;
    let with_files = arguments.delete_workspace;
    global.say(&removed(&sandbox, with_files, &moment::took(took)))?;
    Ok(exit::OK)
}

/// Removes several. `ids` says which sandboxes are meant: the name of one that was removed while
/// somebody thought about it may be another's by now.
fn each(
    bus: &Bus,
    global: &Global,
    arguments: &Down,
    several: &Several,
    ids: HashMap<String, String>,
) -> Result<u8, Error> {
    let (options, owner) = (options(global, arguments), global.options());
    several.run(
        bus,
        global,
        |manager: ManagerProxy<'static>, name| {
            let (options, owner, begun) = (options.clone(), owner.clone(), Instant::now());
            let meant = ids.get(&name).cloned();
            async move {
                let sandbox = manager.get(&name, &owner).await?;
                if meant.is_some_and(|id| id != sandbox.id) {
                    return Ok(None);
                }
                manager.remove(&name, &options).await?;
                Ok(Some((sandbox, begun.elapsed())))
            }
        },
        |name, done| match done {
            Some((sandbox, took)) => {
                removed(&sandbox, arguments.delete_workspace, &moment::took(took))
            }
            None => format!("{name} is kept: it was made anew meanwhile\n"),
        },
    )
}

fn all(global: &Global, arguments: &Down) -> Result<u8, Error> {
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !arguments.yes && !terminal {
        let error = Error::usage("down --all asks before it removes, and there is no terminal");
        return Err(error.hint("give --yes to remove all sandboxes unasked"));
    }
    let bus = Bus::connect()?;
    let (several, ids) = Several::all(&bus, global, |_| true)?;
    if several.is_empty() {
        global.say("there is no sandbox to remove\n")?;
        return Ok(exit::OK);
    }
    if !arguments.yes {
        output::note(&question(several.names(), arguments.delete_workspace));
        let mut answer = String::new();
        // Whoever cannot answer has not agreed.
        let _unread = io::stdin().lock().read_line(&mut answer);
        if !agreed(&answer) {
            return Err(Error::failure("nothing was removed"));
        }
    }
    each(&bus, global, arguments, &several, ids)
}

fn question(names: &[String], with_files: bool) -> String {
    let files = if with_files {
        ", with the files in workspaces of their own"
    } else {
        ""
    };
    let names = escape::text(&names.join(", "));
    format!("Remove {names}{files}? [y/N] ")
}

fn agreed(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

fn options(global: &Global, arguments: &Down) -> RemoveOptions {
    RemoveOptions {
        owner: global.owner.clone(),
        delete_workspace: arguments.delete_workspace.then_some(true),
    }
}

fn removed(sandbox: &SandboxInfo, with_files: bool, took: &str) -> String {
    let workspace = escape::text(&sandbox.workspace);
    let kept = match &sandbox.repository {
        Some(repository) => format!(
            "the repository {} was not touched",
            escape::text(repository)
        ),
        None if with_files => format!("its workspace {workspace} was deleted with its files"),
        None => format!("its empty workspace {workspace} was removed"),
    };
    format!("{} is removed ({took}); {kept}\n", sandbox.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::samples;

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y\n", " yes \n"] {
            assert!(agreed(yes), "{yes}");
        }
        for no in ["", "\n", "n\n", "yy\n", "yes please\n"] {
            assert!(!agreed(no), "{no}");
        }
        let names = ["s1".to_owned(), "s2".to_owned()];
        assert_eq!(question(&names, false), "Remove s1, s2? [y/N] ");
        assert!(question(&names, true).contains("with the files"));
    }

    #[test]
    fn what_was_removed() {
        let mut sandbox = samples::running();
        sandbox.repository = Some("/home/alice/a\nb".into());
        insta::assert_snapshot!(removed(&sandbox, false, "0.31 s"), @r"s1 is removed (0.31 s); the repository /home/alice/a\nb was not touched");
        sandbox.repository = None;
        sandbox.workspace = "/var/lib/firefly-forage/workspaces/00000abc".into();
        insta::assert_snapshot!(removed(&sandbox, false, "0.31 s"), @"s1 is removed (0.31 s); its empty workspace /var/lib/firefly-forage/workspaces/00000abc was removed");
        insta::assert_snapshot!(removed(&sandbox, true, "0.31 s"), @"s1 is removed (0.31 s); its workspace /var/lib/firefly-forage/workspaces/00000abc was deleted with its files");
    }
}
