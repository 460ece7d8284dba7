//! The way to a system's init. It may go through links from one store path to another, as Nix makes
//! them, but may not leave the store: that is all of the host that the sandbox sees.

use std::os::fd::OwnedFd;
use std::path::Path;

use forage_api::{ErrorKind, Failure};
use rustix::fs::{FileType, fstat};

use super::system::STORE;
use crate::admission::Admitted;
use crate::fail::reason;
use crate::walk::{Lost, Step, walk};

/// What a person does about a system that cannot be used.
const REMEDY: &str = "nix-collect-garbage removes what nothing keeps alive; build the system again \
and name it in the configuration (on NixOS both are done by nixos-rebuild switch)";

/// Checks that a system is there and has an init.
pub(super) fn check(sandbox: &Admitted, system: &Path) -> Result<(), Failure> {
    let wrong = |what: String| {
        let template = &sandbox.record.template;
        let text = format!(
            "template {template}: its system {} {what}",
            system.display()
        );
        Err(Failure::new(ErrorKind::InvalidConfig, text).hint(REMEDY))
    };
    let way = walk(&system.join("init"), &mut |_, _| Ok(()));
    let place = |step: &Step| step.directory.join(&step.name);
    if let Some(step) = way.steps.iter().find(|step| !stays(step)) {
        return wrong(format!(
            "leaves the store: its init leads to {}",
            place(step).display()
        ));
    }
    let why = match way.end {
        Ok(found) if is_program(&found) => return Ok(()),
        Ok(_) => "is not an executable file".to_owned(),
        Err(Lost::Missing) => "does not exist".to_owned(),
        Err(Lost::NotADirectory) => "is not a directory".to_owned(),
        Err(Lost::TooManyLinks) => "is one link too many".to_owned(),
        Err(Lost::Fuse) => "lies on a file system that a program provides (FUSE)".to_owned(),
        Err(Lost::System(number)) => reason(&std::io::Error::from_raw_os_error(number)),
        Err(Lost::Refused(why)) => why,
    };
    let place = way.steps.last().map(place).unwrap_or_default();
    if place == system {
        return wrong(why);
    }
    wrong(format!("has no init: {} {why}", place.display()))
}

fn is_program(found: &OwnedFd) -> bool {
    fstat(found).is_ok_and(|status| {
        FileType::from_raw_mode(status.st_mode).is_file() && status.st_mode & 0o111 != 0
    })
}

/// Whether a step leads to the store or stays in it.
fn stays(step: &Step) -> bool {
    let place = step.directory.join(&step.name);
    place.starts_with(STORE) || Path::new(STORE).starts_with(&place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::admitted;

    #[test]
    fn steps_in_and_out_of_the_store() {
        for (directory, name, inside) in [
            ("/", "nix", true),
            ("/nix", "store", true),
            ("/nix/store", "a", true),
            ("/nix/store/a", "init", true),
            ("/nix", "var", false),
            ("/", "etc", false),
            ("/nix", "store2", false),
            ("/etc", "shadow", false),
        ] {
            let (directory, name) = (directory.into(), name.into());
            let last = false;
            let step = Step {
                directory,
                name,
                last,
            };
            assert_eq!(stays(&step), inside, "{step:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_named_with_the_remedy() {
        let system = Path::new("/nix/store/00000000000000000000000000000000-none");
        let failure = check(&admitted(), system).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::InvalidConfig);
        assert!(
            failure
                .message
                .contains("template t: its system /nix/store/000")
        );
        assert!(failure.message.contains("does not exist"), "{failure}");
        assert!(failure.hint.contains("nixos-rebuild switch"));
    }
}
