//! `down`: removes a sandbox.

use forage_api::bus::{OwnerOptions, RemoveOptions, SandboxInfo};
use forage_api::exit;

use super::report;
use crate::Error;
use crate::args::{Down, Global};
use crate::bus::Bus;
use crate::output::progress::Steps;
use crate::output::{self, escape, moment};

pub(super) fn run(global: Global, arguments: &Down) -> Result<u8, Error> {
    let name = arguments.name.as_str();
    let options = RemoveOptions {
        owner: global.owner.clone(),
        delete_workspace: arguments.delete_workspace.then_some(true),
    };
    let owner = OwnerOptions {
        owner: global.owner,
    };
    let bus = Bus::connect()?;
    // Afterwards nobody knows any more what it had.
    let sandbox = bus.manager(async |manager| manager.get(name, &owner).await)?;
    let mut steps = Steps::begin(name);
    let reply = bus.manager_with_steps(name, &mut steps, async |manager| {
        manager.remove(name, &options).await
    });
    let (took, ()) = report::ended(steps, reply)?;
    output::result(&removed(
        &sandbox,
        arguments.delete_workspace,
        &moment::took(took),
    ))?;
    Ok(exit::OK)
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
